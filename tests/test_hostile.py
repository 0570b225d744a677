# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Programs that do with the driver what no library would. It costs them, and
nobody else.

        namespace A                             namespace B
        10.1.0.1                                10.1.0.2
        link a on va ---------- veth ---------- vb with link b
        hostile program: QPs on a and b, and a well-behaved pair on the same links
"""

import contextlib
import ctypes
import fcntl
import itertools
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time

import pytest
from pyverbs.qp import QP, QPCap, QPInitAttr

from lab import net, resources, umad
from lab.command import TESTS
from lab.rc import Node, Two, counters, e, same
from lab.victim import Victim

SCRIBBLE = "/usr/lib/urxe/scribble"
SIZE = 1 << 18
WRITE_COMMAND = struct.Struct("=IHH")
# enum ib_uverbs_write_cmds: all that a program may write to the device.
COMMANDS = range(0, 56)


class Bystander:
    """A pair that keeps to the rules and looks at every byte."""

    def __init__(self, a, b):
        self.a, self.b, self.rounds = a, b, 0
        self.dice = random.Random(5)

    def once(self):
        a, b, length = self.a, self.b, self.dice.randrange(1, 20000)
        data, reply = self.dice.randbytes(length), self.dice.randbytes(length)
        a.memory[0:length] = data
        b.memory[SIZE // 2:SIZE // 2 + length] = reply
        b.post_receive(0, length, wr_id=self.rounds)
        peer = b.identity()
        a.post(e.IBV_WR_SEND, 0, length)
        a.post(e.IBV_WR_RDMA_READ, SIZE // 2, length, peer, SIZE // 2)
        a.post(e.IBV_WR_ATOMIC_FETCH_AND_ADD, SIZE - 8, 8, peer, SIZE - 8, compare_add=1)
        a.poll(3, 60)
        done, = b.poll_receive(1, 60)
        assert (done.wr_id, done.byte_len) == (self.rounds, length)
        assert same(b.memory[0:length], data)
        assert same(a.memory[SIZE // 2:SIZE // 2 + length], reply)
        assert same(a.memory[SIZE - 8:SIZE], self.rounds.to_bytes(8, "little"))
        self.rounds += 1

    def until(self, process, seconds):
        """As long as the process lives, which must not be too long."""
        end = time.monotonic() + seconds
        while process.poll() is None:
            assert time.monotonic() < end, "the hostile program does not end"
            self.once()


def scribble(pair, seconds):
    a, b = pair.ends
    seed = random.SystemRandom().randrange(1 << 32)
    # Seen when the test fails.
    print(f"scribble's seed: {seed}")
    return subprocess.Popen(
        [SCRIBBLE, a.link.name, str(a.link.gid_index(a.ipv4)),
         b.link.name, str(b.link.gid_index(b.ipv4)), str(seconds), str(seed)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def kill_group(process):
    """Kill it and its children, as far as there are any."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def quiet(pair, objects):
    """Soon all is gone that the program had."""
    for end in pair.ends:
        name = end.link.name
        net.wait_for(lambda: resources.counts(name) == objects[name], 10,
                     f"{name}: objects of a program that has ended")


def test_scribbled_rings(pair, debug_kernel, quick):
    """A program that writes at random over every ring while they are in use, of queue
    pairs of each service by turns."""
    seconds = (60 if debug_kernel else 10) // (2 if quick else 1)
    with Two(pair, size=SIZE, depth=8) as (a, b):
        bystander = Bystander(a, b)
        bystander.once()
        objects = resources.counts()
        process = scribble(pair, seconds)
        try:
            bystander.until(process, 3 * seconds + 120)
            said, complaints = process.communicate()
            assert process.returncode == 0, complaints
            rounds, doorbells = (int(word) for word in said.splitlines()[-1].split()
                                 if word.isdigit())
            assert rounds >= 3 and doorbells > 100, said
            assert bystander.rounds > 3
            quiet(pair, objects)
        finally:
            kill_group(process)


def test_strange_datagrams_to_the_management(pair):
    """Of its class but otherwise at random, some of them questions that want an answer:
    counters can be asked for after a thousand of them, and have counted them."""
    dice = random.Random(7)
    with Two(pair, ipv6=True) as (a, b):
        way = a.end.link, a.end.link.gid_index(a.address), b.identity().gid
        before = counters(b.end.link)["rx_packets"]
        with contextlib.closing(umad.Agent(*way)) as agent:
            for _ in range(1000):
                mad = bytearray(dice.randbytes(umad.MAD.size))
                mad[:4] = (dice.choice((1, 1, 1, 2)), umad.PERFORMANCE,
                           dice.choice((1, 1, 2)), dice.choice((1, 2, 3, 5, 0x7f)))
                mad[16:18] = dice.choice((b"\0\x01", b"\0\x12", b"\0\x1d", mad[16:18]))
                agent.send(mad)
        net.wait_for(lambda: counters(b.end.link)["rx_packets"] >= before + 1000, 10,
                     "a thousand datagrams")
        assert umad.port_counters(*way)["port_rcv_packets"] > before + 1000


def test_module_goes_at_once(link_type, pair):
    """After the scribbling, and the death of who did it in the midst of that, nothing
    holds the links, nor the module: it goes within the minute that unload() gives it,
    and comes again."""
    objects = resources.counts()
    process = scribble(pair, 60)
    try:
        for _ in range(3):
            assert process.stdout.readline() == "going\n"
    finally:
        kill_group(process)
    quiet(pair, objects)
    net.unload(link_type)
    net.load(link_type)
    for end in pair.ends:
        end.add_link(link_type)


# --- what goes into the device ---------------------------------------------


def open_raw(node):
    """The file descriptor of the node's context."""
    return node.context.cmd_fd


def garbage(dice, command, length):
    """A command whose header is right, or nearly, and whose rest is not."""
    words = (length + 3) // 4 + dice.choice((0, 0, 0, 1, -1))
    header = WRITE_COMMAND.pack(command, max(words, 0) & 0xffff, dice.randrange(64))
    body = bytearray(dice.randbytes(max(length - 8, 0)))
    for at in range(0, len(body) - 3, 4):
        # Small numbers are handles that exist.
        if dice.random() < 0.6:
            body[at:at + 4] = dice.randrange(6).to_bytes(4, "little")
    return header + bytes(body)


def test_garbage_commands(pair):
    """Commands of every kind with anything in them, from a process of its own."""
    with Two(pair, size=SIZE) as (a, b):
        bystander = Bystander(a, b)
        for seed in range(4):
            child = os.fork()
            if not child:
                attack(pair, seed)
            bystander.once()
            _, status = os.waitpid(child, 0)
            # A pointer that hits its own memory is the program's own bad luck.
            assert os.waitstatus_to_exitcode(status) in (
                0, -signal.SIGSEGV, -signal.SIGBUS), f"seed {seed}"
            bystander.once()


def attack(pair, seed):
    """In a child: write garbage until the end; never returns. SIGALRM ends it when a
    command does not return."""
    status = 1
    try:
        signal.alarm(60)
        dice = random.Random(seed)
        scratch = mmap.mmap(-1, 65536)
        where = ctypes.addressof(ctypes.c_char.from_buffer(scratch))
        node = Node(pair.a, size=4096)
        fd = os.dup(open_raw(node))
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)
        accepted = 0
        for _ in range(3000):
            command = bytearray(garbage(dice, dice.choice(COMMANDS),
                                        dice.choice((8, 16, 24, 32, 56, 64, 80, 128, 256))))
            # Responses begin with a pointer; let most of them be good.
            if len(command) >= 16 and dice.random() < 0.9:
                command[8:16] = where.to_bytes(8, "little")
            signal.alarm(60)
            with contextlib.suppress(OSError):
                os.write(fd, command)
                accepted += 1
        # Else it was no command of ours that was refused.
        status = 0 if accepted else 2
    finally:
        os._exit(status)


def test_mappings(pair):
    """Only a ring as it was given can be mapped, and each of them can: not less, more,
    or elsewhere."""
    with Two(pair, size=4096) as (a, _):
        fd = open_raw(a)
        page = mmap.PAGESIZE
        rings = mappings_of(fd).values()
        # Of the queue pair's two queues, and of two completion queues.
        assert len(rings) == 4
        offsets = {*range(0, 16 * page, page), *(at for at, _ in rings)}
        sizes = {page, 2 * page, 3 * page, 64 * page, 1 << 30, *(size for _, size in rings)}
        found = []
        for offset, size, flags in itertools.product(
                offsets, sizes, (mmap.MAP_SHARED, mmap.MAP_PRIVATE)):
            try:
                one = mmap.mmap(fd, size, flags, offset=offset)
            except (OSError, ValueError, OverflowError):
                continue
            found.append((offset, size, flags))
            one.close()
        assert sorted(found) == sorted((*ring, mmap.MAP_SHARED) for ring in rings)
        for offset in (1 << 40, (1 << 52) - page, 1 << 62):
            with pytest.raises((OSError, ValueError, OverflowError)):
                mmap.mmap(fd, page, offset=offset)


def mappings_of(fd):
    """{address: (offset, size)} of what this process has mapped of a device."""
    found, path = {}, os.readlink(f"/proc/self/fd/{fd}")
    with open("/proc/self/maps", encoding="ascii") as maps:
        for line in maps:
            if line.split()[-1] == path:
                start, end = (int(word, 16) for word in line.split()[0].split("-"))
                found[start] = (int(line.split()[2], 16), end - start)
    return found


# Where in a ring (struct rxe_queue_buf) its mask and the two indices are.
MASK, PRODUCER, CONSUMER = 4, 128, 256


def word(address):
    return ctypes.c_uint32.from_address(address)


def test_requests_taken_back(pair):
    """An index that says that requests were never posted which are on their way already:
    the queue pair is done for, and says so. After a reset it is as good as new."""
    with Two(pair, connect=False, size=SIZE) as (a, b):
        a.qp.close()
        before = set(mappings_of(open_raw(a)))
        cap = QPCap(max_send_wr=100, max_recv_wr=1, max_send_sge=1, max_recv_sge=1)
        a.qp = QP(a.pd, QPInitAttr(qp_type=e.IBV_QPT_RC, scq=a.cq, rcq=a.rcq, cap=cap))
        made = set(mappings_of(open_raw(a))) - before
        ring, = (new for new in made if word(new + MASK).value == 127)
        producer, consumer = word(ring + PRODUCER), word(ring + CONSUMER)
        # Nobody answers: b is not connected.
        a.connect(b.identity(), timeout=0)
        sent = counters(a.end.link)["tx_packets"]
        for wr_id in range(4):
            a.post(e.IBV_WR_SEND, 0, 8, wr_id=wr_id)
        net.wait_for(lambda: counters(a.end.link)["tx_packets"] == sent + 4, 5, "4 packets")
        assert producer.value - consumer.value == 4
        producer.value = consumer.value
        a.post(e.IBV_WR_SEND, 0, 8)
        assert a.event() == e.IBV_EVENT_QP_FATAL
        a.wait_state(e.IBV_QPS_ERR)
        assert a.event(0.1) is None
        a.reset()
        a.cq.poll(16)       # whatever has been made of the requests
        for node, other in ((a, b), (b, a)):
            node.connect(other.identity())
        a.memory[0:8] = b"good now"
        a.post(e.IBV_WR_RDMA_WRITE, 0, 8, b.identity())
        a.poll()
        assert same(b.memory[0:8], b"good now")


# --- fork, and the order in which things go --------------------------------


def test_child_outlives_parent(pair):
    """A child that has the parent's context, rings and memory by fork(), and goes on with
    them when the parent is gone, disturbs nobody; all goes with it."""
    program = ("import os, sys, time\n"
               "from lab import net\n"
               "import types\n"
               "from lab.rc import Node, e\n"
               "end = types.SimpleNamespace(link=net.Link.existing(sys.argv[1]),"
               " ipv4=sys.argv[2], ipv6=None)\n"
               "node = Node(end, size=65536)\n"
               "node.connect(node.identity())\n"
               "if os.fork():\n"
               "    time.sleep(0.5)\n"
               "    os._exit(0)\n"
               "for turn in range(400):\n"
               "    try:\n"
               "        node.post(e.IBV_WR_RDMA_WRITE, 0, 4096, node.identity())\n"
               "        node.cq.poll(4)\n"
               "    except Exception:\n"
               "        pass\n"
               "    time.sleep(0.005)\n"
               "os._exit(0)\n")
    with Two(pair, size=SIZE) as (a, b):
        bystander = Bystander(a, b)
        objects = resources.counts()
        process = subprocess.Popen(
            [sys.executable, "-c", program, pair.a.link.name, pair.a.ipv4],
            cwd=TESTS)
        bystander.until(process, 60)
        assert process.returncode == 0
        for _ in range(5):
            bystander.once()
        net.wait_for(lambda: resources.counts() == objects, 30, "the child's end")


def test_killed_at_random(pair):
    """Programs killed at any moment of their life, many of them."""
    dice = random.Random(9)
    with Two(pair, size=SIZE) as (a, b):
        bystander = Bystander(a, b)
        objects = resources.counts()
        for _ in range(8):
            victim = Victim(pair.a, dice.choice(("write", "read", "send", "wait")))
            if dice.random() < 0.8:
                # Its own peer: a queue pair connected to itself.
                victim.meet(victim.peer)
                victim.say("go")
            bystander.once()
            time.sleep(dice.random() / 2)
            victim.kill()
        quiet(pair, objects)
        bystander.once()
