# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""A server program at one end and a client program at the other, run to their ends."""

import signal
import subprocess
import time

from lab.net import wait_for
from lab.perftest import serves, stop


class Failed(Exception):
    """One of the two did not end well; the text is what both said."""


def pair_up(pair, server, client, tcp_port=None, timeout=60, client_status=0,
            server_status=0, ready=lambda: False, meanwhile=lambda: None, stays=False):
    """Run server at pair.b and client at pair.a; return what they printed, (client's,
    server's). The client starts when the server listens, on the TCP port or without one by
    rdma_cm, or is otherwise ready; meanwhile() is called while they run. A server that
    stays waits for other clients until it is stopped."""
    processes = []

    def start(end, argv):
        process = subprocess.Popen(end.command([str(word) for word in argv]),
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True)
        processes.append(process)
        return process

    try:
        first = start(pair.b, server)
        wait_for(lambda: serves(first, pair.b, tcp_port) or ready(), 15,
                 f"{server[0]} to listen")
        second = start(pair.a, client)
        end = time.monotonic() + timeout
        meanwhile()
        waited_for = (second,) if stays else (second, first)
        said = [process.communicate(timeout=max(1, end - time.monotonic()))[0]
                for process in waited_for]
        if stays:
            said.append(stop(first))
            server_status = -signal.SIGTERM
    except (subprocess.TimeoutExpired, TimeoutError) as late:
        said = "".join(f"--- {process.args}\n{stop(process)}" for process in processes)
        raise Failed(f"{late}\n{said}") from late
    finally:
        for process in processes:
            if process.poll() is None:
                stop(process)
    if (second.returncode, first.returncode) != (client_status, server_status):
        raise Failed(f"exit status {second.returncode} (client), {first.returncode} "
                     f"(server)\n--- {client}\n{said[0]}--- {server}\n{said[1]}")
    return said
