# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""One run of a perftest program: a server at one end, a client at the other."""

import itertools
import signal
import subprocess
import threading

from lab import command
from lab.command import as_user, memory
from lab.machine import DEBUG, PATIENCE
from lab.net import wait_for

# What -a measures.
ALL_SIZES = [2 ** n for n in range(1, 24)]
# By a kernel where nobody listens.
NOT_YET = "RDMA_CM_EVENT_REJECTED; error: 8"
# Where the kernel checks itself and sixteen QPs have two processors, a peer's answer may take
# 0.5 s, not just a sixteenth of a second.
TIMEOUT = ("-u", "17") if DEBUG else ()

_ports = itertools.count(18600)


class Failed(Exception):
    """A perftest program did not end well; the text is what both said."""


class Watch(threading.Thread):
    """The most that processes had pinned and locked while they ran."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.samples, self.over = pids, 0, threading.Event()
        self.most = {pid: {"VmPin": 0, "VmLck": 0} for pid in pids}

    def run(self):
        while not self.over.wait(0.05):
            try:
                now = {pid: memory(pid) for pid in self.pids}
            except (OSError, KeyError):
                continue
            self.samples += 1
            for pid, fields in now.items():
                for field, value in fields.items():
                    self.most[pid][field] = max(self.most[pid][field], value)


class Result:
    """What a run printed, and, if it was watched, what it held while it ran."""

    def __init__(self, output, server, client, watch):
        self.output = output
        if watch:
            self.server = watch.most[server]
            self.client = watch.most[client]
            self.samples = watch.samples
        self.rows = list(table(output))

    def sizes(self):
        return [row["#bytes"] for row in self.rows]

    def column(self, name):
        """The value of a column, named by how its heading begins, in the one
        row or the last one."""
        for heading, value in self.rows[-1].items():
            if heading.startswith(name):
                return value
        raise KeyError(name)


def table(output):
    """Each row of a perftest table as {heading: number}."""
    headings = None
    for line in output.splitlines():
        words = line.split()
        if words and words[0] == "#bytes":
            headings = line.replace("BW ", "BW_").replace("% ", "%_").split()
        elif headings and len(words) >= 4 and words[0].isdigit():
            yield dict(zip(headings, map(float, words)))


def listening(pid, port):
    """Whether something in the network namespace of pid listens on port."""
    wanted = f":{port:04X}"
    for family in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{family}", encoding="ascii") as sockets:
                for line in sockets:
                    words = line.split()
                    if words[1].endswith(wanted) and words[3] == "0A":
                        return True
        except OSError:
            pass
    return False


def serves(process, end, tcp_port=None):
    """Whether a server listens, on a TCP port or else by rdma_cm, which takes a program to
    be told; or has ended already."""
    if process.poll() is not None:
        return True
    if tcp_port:
        return listening(process.pid, tcp_port)
    ids = command.run(*end.command(["rdma", "resource", "show", "cm_id"]))
    return any("LISTEN" in line and f"pid {process.pid} " in line
               for line in ids.splitlines())


def start(end, argv, user, memlock, cpu=None):
    if user:
        argv = as_user(argv, memlock)
    if cpu is not None:
        argv = ["taskset", "-c", str(cpu), *argv]
    return subprocess.Popen(end.command(argv), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def said(streams):
    """What came by both streams, of which one may be joined to the other."""
    return "".join(stream or "" for stream in streams)


def stop(process):
    """End a process, at the latest after some seconds, and collect its words."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            return said(process.communicate(timeout=5))
        except subprocess.TimeoutExpired:
            process.kill()
    return said(process.communicate())


def run(pair, tool, *options, **how):
    """As run_once(). By rdma_cm perftest connects twice, and its server tells the client to
    go on before it listens for the second time: a client that was too fast comes again."""
    for _ in range(2):
        try:
            return run_once(pair, tool, *options, **how)
        except Failed as failed:
            if "-R" not in options or NOT_YET not in str(failed):
                raise
    return run_once(pair, tool, *options, **how)


def run_once(pair, tool, *options, ipv6=False, user=False, memlock=64 * 1024,
             timeout=60, watched=True, cpus=(None, None)):
    """Run tool from pair.a (client) to pair.b (server) with the options.

    The GID is what makes it IPv6; the two find each other over IPv4, which every version of
    perftest can, unless the options have --ipv6-addr. With user set both run as a user who
    is not root, with memlock bytes of locked memory allowed. To watch them takes processor
    time. cpus are those that client and server may use; the timeout is in seconds. Returns
    a Result, raises Failed."""
    port = str(next(_ports))
    client_ip, server_ip = ((pair.a.ipv6, pair.b.ipv6) if ipv6 else
                            (pair.a.ipv4, pair.b.ipv4))
    def argv(end, address):
        return [tool, "-F", "-p", port, "-d", end.link.name,
                "-x", str(end.link.gid_index(address)), *TIMEOUT,
                *map(str, options)]
    tcp_port = None if "-R" in options else int(port)
    server = start(pair.b, argv(pair.b, server_ip), user, memlock, cpus[1])
    client = watch = None
    try:
        wait_for(lambda: serves(server, pair.b, tcp_port), 15, f"{tool} server")
        met_at = pair.b.ipv6 if "--ipv6-addr" in options else pair.b.ipv4
        client = start(pair.a, argv(pair.a, client_ip) + [met_at], user, memlock, cpus[0])
        if watched:
            watch = Watch([server.pid, client.pid])
            watch.start()
        output, errors = client.communicate(timeout=timeout * PATIENCE)
        if client.returncode:
            server_output = stop(server)
        else:
            server_output = "".join(server.communicate(timeout=10))
    except (subprocess.TimeoutExpired, TimeoutError) as late:
        words = "".join(f"--- {who}\n{stop(process)}"
                        for who, process in (("client", client), ("server", server))
                        if process)
        raise Failed(f"{tool} {' '.join(map(str, options))}: {late}\n{words}") from late
    finally:
        if watch:
            watch.over.set()
            watch.join()
    if client.returncode or server.returncode:
        raise Failed(f"{tool} {' '.join(map(str, options))}: exit status "
                     f"{client.returncode} (client), {server.returncode} (server)\n"
                     f"--- client\n{output}{errors}--- server\n{server_output}")
    return Result(output, server.pid, client.pid, watch)


def run_unreliable(pair, transport, tool, *options, **how):
    """Over UC or UD: no more at once than the receiver has requests for, as what comes too
    fast is lost."""
    depth = ("-r", 512) if tool == "ib_send_bw" else ()
    return run(pair, tool, "-c", transport, *options, *depth, **how)
