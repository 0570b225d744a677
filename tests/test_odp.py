# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""On-demand paging as programs ask for it: the capabilities, explicit and implicit
regions, advice, and the kernel's counters.

        namespace A                       namespace B
        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
        link a on va ------- veth ------- vb with link b
"""

import contextlib
import errno
import json
import mmap
import os
import signal
import threading
import time

import pytest
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.pyverbs_error import PyverbsRDMAError

from lab import ud, uverbs
from lab.command import memory, run
from lab.expect import fails
from lab.mapping import (MAP_NORESERVE, ANON, GIB, MADV_DONTNEED, PAGE, PROT_READ, SHARED,
                         Child, Mapping, Uffd, noise)
from lab.net import wait_for
from lab.rc import Node, Two, counters, e, meet_child, meet_parent, same
from lab.uverbs import PREFETCH, PREFETCH_NO_FAULT, PREFETCH_WRITE
from lab.verbs import ACCESS

SIZE = 64 * PAGE
ON_DEMAND = ACCESS | e.IBV_ACCESS_ON_DEMAND


pytestmark = pytest.mark.urxe_only("about our driver")


@pytest.fixture
def two(pair):
    """b's region is asked to page on demand, and nothing has touched its memory."""
    with Two(pair, size=SIZE, b={"access": ON_DEMAND, "memory": Mapping(SIZE)}) as nodes:
        nodes[0].memory[0:SIZE] = noise(SIZE)
        yield nodes


def implicit(node, access=ON_DEMAND):
    """Make the node's region all of the address space; its identity then has
    address 0."""
    node.mr.close()
    node.mr = MR(node.pd, 0, access, implicit=True)
    return node.identity()._replace(address=0)


def statistics(node):
    """What `rdma statistic show mr` says of the node's regions, added up."""
    found = {}
    for region in json.loads(run("rdma", "-j", "statistic", "show", "mr")):
        if region["ifname"] != node.end.link.name:
            continue
        for name, value in region.items():
            if name.startswith("page_"):
                found[name] = found.get(name, 0) + value
    return found


# --- capabilities ------------------------------------------------------------


def operations(node, peer):
    """{capability: an operation that needs it, on a page of its own}"""
    def one_sided(opcode, page, length=PAGE, **more):
        node.post(opcode, page * PAGE, length, peer, page * PAGE, **more)
        node.poll()
    return {
        e.IBV_ODP_SUPPORT_WRITE: lambda: one_sided(e.IBV_WR_RDMA_WRITE, 1),
        e.IBV_ODP_SUPPORT_READ: lambda: one_sided(e.IBV_WR_RDMA_READ, 2),
        e.IBV_ODP_SUPPORT_ATOMIC:
            lambda: one_sided(e.IBV_WR_ATOMIC_FETCH_AND_ADD, 3, 8, compare_add=7),
    }


def test_capabilities_are_true(two):
    """What is reported for RC works on pages that are not there."""
    a, b = two
    caps = a.context.query_device_ex().odp_caps
    assert caps.general_caps == e.IBV_ODP_SUPPORT | e.IBV_ODP_SUPPORT_IMPLICIT
    claimed = caps.rc_odp_caps
    tried = e.IBV_ODP_SUPPORT_SEND | e.IBV_ODP_SUPPORT_RECV
    b.post_receive(0, PAGE)
    a.post(e.IBV_WR_SEND, 0, PAGE)
    a.poll()
    b.poll_receive()
    assert same(b.memory[0:PAGE], a.memory[0:PAGE])
    for capability, operate in operations(a, b.identity()).items():
        operate()
        tried |= capability
    assert same(b.memory[PAGE:2 * PAGE], a.memory[PAGE:2 * PAGE])
    assert same(a.memory[2 * PAGE:3 * PAGE], bytes(PAGE))
    assert same(a.memory[3 * PAGE:3 * PAGE + 8], bytes(8))
    assert same(b.memory[3 * PAGE:3 * PAGE + 8], (7).to_bytes(8, "little"))
    assert claimed & tried == tried
    assert claimed & 0x1f == tried


def absent(length):
    """Shared memory that holds something, of which the page table knows nothing."""
    mapping = Mapping(length, flags=SHARED | mmap.MAP_ANONYMOUS)
    mapping[0:] = noise(length)
    mapping.advise(MADV_DONTNEED)
    assert not any(mapping.present(at) for at in range(0, length, PAGE))
    return mapping


# What a and b are made of, b with a receive queue of its own or a shared one.
def without_pages(srq):
    return {"access": ON_DEMAND, "a": {"memory": absent(SIZE)},
            "b": {"memory": Mapping(SIZE), "srq": srq}}


DATAGRAMS = e.IBV_ODP_SUPPORT_SEND | e.IBV_ODP_SUPPORT_RECV | e.IBV_ODP_SUPPORT_SRQ_RECV
CONNECTED = DATAGRAMS | e.IBV_ODP_SUPPORT_WRITE
SERVICES = {"rc": e.IBV_QPT_RC, "uc": e.IBV_QPT_UC}
any_queue = pytest.mark.parametrize("srq", (None, 8), ids=("own", "shared"))


@any_queue
@pytest.mark.parametrize("service", SERVICES)
def test_messages(pair, service, srq):
    """From pages that are not there into pages that are not there."""
    with Two(pair, service=SERVICES[service], **without_pages(srq)) as (a, b):
        claimed = getattr(a.context.query_device_ex().odp_caps, f"{service}_odp_caps")
        assert claimed & CONNECTED == CONNECTED
        assert service == "rc" or claimed == CONNECTED
        (b.post_shared if srq else b.post_receive)(0, 8 * PAGE)
        a.post(e.IBV_WR_RDMA_WRITE, 16 * PAGE, 8 * PAGE, b.identity(), 16 * PAGE)
        a.post(e.IBV_WR_SEND, 0, 8 * PAGE)
        a.poll(2)
        assert b.poll_receive()[0].byte_len == 8 * PAGE
        for at in (0, 16 * PAGE):
            assert same(b.memory.peek(at, 8 * PAGE), noise(SIZE)[at:at + 8 * PAGE])


@any_queue
def test_datagrams(pair, srq):
    """Likewise, across the end of a page on either side."""
    with ud.Two(pair, **without_pages(srq)) as (a, b):
        assert a.context.query_device_ex().odp_caps.ud_odp_caps == DATAGRAMS
        start = 2 * PAGE - 500
        (b.post_shared if srq else b.post_receive)(start - ud.GRH, ud.GRH + 1000)
        a.send(b.identity(), 3 * PAGE - 9, 1000)
        a.poll()
        assert b.poll_receive()[0].byte_len == ud.GRH + 1000
        assert same(b.memory.peek(start, 1000), noise(SIZE)[3 * PAGE - 9:][:1000])


def test_no_capability_without_its_transport(pair):
    """XRC does not exist here, so it pages nothing."""
    with Two(pair, size=PAGE) as (a, _):
        assert a.context.query_device_ex().odp_caps.xrc_odp_caps == 0


# --- regions -------------------------------------------------------------------


@pytest.mark.parametrize("policy", ("unpinned", "pinned"))
def test_explicit_region(pair, policy):
    """More memory than the machine has, under either policy: who asks for paging on
    demand gets it."""
    with pair.b.link.memory_policy(policy):
        there = Mapping(64 * GIB, flags=ANON | MAP_NORESERVE)
        with Two(pair, a={"size": SIZE}, b={"access": ON_DEMAND, "memory": there}) as (a, b):
            a.memory[0:SIZE] = noise(SIZE)
            for offset in (0, 17 * GIB + 5, 64 * GIB - SIZE):
                a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, b.identity(), offset)
                a.poll()
                assert same(there.peek(offset, SIZE), a.memory[0:SIZE])
            assert memory(os.getpid())["VmPin"] == 0


def test_implicit_region(two):
    """Memory that was mapped before, memory that was mapped later, the stack."""
    a, b = two
    peer = implicit(b)
    with contextlib.closing(Mapping(SIZE)) as later:
        for seed, place in enumerate((b.memory, later)):
            a.memory[0:SIZE] = noise(SIZE, seed)
            a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, peer, place.addr)
            a.poll()
            assert same(place.peek(), noise(SIZE, seed))
            a.memory[0:SIZE] = bytes(SIZE)
            a.post(e.IBV_WR_RDMA_READ, 0, SIZE, peer, place.addr)
            a.poll()
            assert same(a.memory[0:SIZE], noise(SIZE, seed))
        later.poke(bytes(8))
        a.post(e.IBV_WR_ATOMIC_CMP_AND_SWP, 0, 8, peer, later.addr, swap=7)
        a.poll()
        assert later.peek(0, 8) == (7).to_bytes(8, "little")


def test_implicit_region_as_local_memory(two):
    a, b = two
    implicit(b)
    b.memory[0:SIZE] = noise(SIZE, 3)
    b.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, a.identity(), 0)
    b.poll()
    assert same(a.memory[0:SIZE], noise(SIZE, 3))
    b.post_receive(0, PAGE)
    a.post(e.IBV_WR_SEND, PAGE, PAGE)
    a.poll()
    b.poll_receive()
    assert same(b.memory[0:PAGE], noise(SIZE, 3)[PAGE:2 * PAGE])


@pytest.mark.parametrize("address", (0, PAGE, 0xffff888000000000, (1 << 64) - PAGE))
def test_implicit_region_has_holes(two, address):
    """Nobody's memory, the kernel's, the very last page."""
    a, b = two
    a.post(e.IBV_WR_RDMA_WRITE, 0, 64, implicit(b), address, wr_id=1)
    assert a.statuses() == [(1, e.IBV_WC_REM_ACCESS_ERR)]


def test_implicit_region_without_the_right(two):
    """To read is not to write."""
    a, b = two
    peer = implicit(b, e.IBV_ACCESS_REMOTE_READ | e.IBV_ACCESS_ON_DEMAND)
    b.memory[0:SIZE] = noise(SIZE, 4)
    a.post(e.IBV_WR_RDMA_READ, 0, SIZE, peer, b.memory.addr)
    a.poll()
    assert same(a.memory[0:SIZE], noise(SIZE, 4))
    a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, peer, b.memory.addr, wr_id=1)
    assert a.statuses() == [(1, e.IBV_WC_REM_ACCESS_ERR)]
    assert same(b.memory.peek(), noise(SIZE, 4))


def test_implicit_region_must_be_asked_for(two):
    with pytest.raises(PyverbsRDMAError) as refused:
        MR(two[1].pd, 0, ACCESS, implicit=True)
    assert refused.value.error_code == errno.EINVAL


# --- advice --------------------------------------------------------------------


def advise(node, advice, offset=0, length=SIZE, flush=True, **options):
    sge = (node.memory.addr + offset, length, options.pop("lkey", node.mr.lkey))
    uverbs.advise(node.context, options.pop("pd", node.pd), advice, [sge], flush,
                  **options)


@pytest.fixture
def sheet(pair):
    """Likewise, of memory that is shared: also what is only read has pages of its own,
    where a process's own that it has not written yet is the kernel's page of zeros."""
    memory = Mapping(SIZE, flags=SHARED | mmap.MAP_ANONYMOUS)
    with Two(pair, size=SIZE, b={"access": ON_DEMAND, "memory": memory}) as nodes:
        nodes[0].memory[0:SIZE] = noise(SIZE)
        yield nodes


def present(node):
    return [node.memory.present(at) for at in range(0, SIZE, PAGE)]


@pytest.mark.parametrize("flush", (True, False), ids=("sync", "async"))
@pytest.mark.parametrize("advice", (PREFETCH, PREFETCH_WRITE), ids=("read", "write"))
def test_prefetch(sheet, advice, flush):
    """The pages come, no byte changes, and traffic has nothing to wait for."""
    a, b = sheet
    b.memory.poke(noise(PAGE, 5), 3 * PAGE)
    advise(b, advice, PAGE, SIZE - 2 * PAGE, flush)
    wanted = [False] + [True] * (SIZE // PAGE - 2) + [False]
    wait_for(lambda: present(b) == wanted, 5, "pages that were asked for")
    assert same(b.memory.peek(3 * PAGE, PAGE), noise(PAGE, 5))
    wait_for(lambda: statistics(b)["page_prefetch"] == SIZE // PAGE - 2, 5,
             "the prefetch to be counted")
    before = counters(b.end.link)
    if advice == PREFETCH_WRITE:
        a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE - 2 * PAGE, b.identity(), PAGE)
        a.poll()
        assert same(b.memory.peek(PAGE, SIZE - 2 * PAGE), a.memory[0:SIZE - 2 * PAGE])
    else:
        a.post(e.IBV_WR_RDMA_READ, 0, SIZE - 2 * PAGE, b.identity(), PAGE)
        a.poll()
        assert same(a.memory[2 * PAGE:3 * PAGE], noise(PAGE, 5))
    after = counters(b.end.link)
    assert after["worker_handover"] == before["worker_handover"]
    assert after["in_place"] > before["in_place"]


def test_prefetch_for_writing_ends_sharing(two):
    """After a fork the page is both processes'; then it is not."""
    _, b = two
    b.memory.poke(noise(SIZE, 6))
    child = Child(lambda c: c.wait_go())
    frame = b.memory.frame()
    advise(b, PREFETCH)
    assert b.memory.frame() == frame
    advise(b, PREFETCH_WRITE)
    assert b.memory.frame() != frame
    assert same(b.memory.peek(), noise(SIZE, 6))
    child.go()
    assert child.end() == 0


def test_prefetch_of_several_parts(two):
    """All of one call, and no other page. A call is refused for any of its parts; those
    before that one may have been done."""
    _, b = two
    def parts(*pages, lkey=b.mr.lkey):
        return [(b.memory.addr + at * PAGE, PAGE, lkey) for at in pages]
    for flush in (True, False):
        with fails(errno.EFAULT):
            uverbs.advise(b.context, b.pd, PREFETCH_WRITE,
                          parts(1) + parts(2, lkey=b.mr.lkey ^ 1), flush)
    wait_for(lambda: statistics(b)["page_prefetch"] == 2, 5, "the parts before")
    b.memory.advise(MADV_DONTNEED)
    for flush, pages in ((True, (3, 9, 4)), (False, (20, 30))):
        uverbs.advise(b.context, b.pd, PREFETCH_WRITE, parts(*pages), flush)
        wanted = [at in (3, 9, 4, *pages) for at in range(SIZE // PAGE)]
        wait_for(lambda: present(b) == wanted, 5, f"pages {pages}")


class Reader:
    """A peer in another process, whose packets arrive where this one's memory can't be
    looked at. It READs b's pages one after the other, and compares: [(page, bytes)]."""

    def __init__(self, pair, b, wanted):
        self.pair, self.wanted = pair, wanted
        self.child = Child(self.live)
        meet_child(self.child, b)

    def live(self, child):
        with contextlib.closing(Node(self.pair.a, SIZE)) as a:
            there = meet_parent(child, a)
            for page, want in self.wanted:
                child.wait_go()
                a.post(e.IBV_WR_RDMA_READ, 0, PAGE, there, page * PAGE)
                a.poll()
                assert same(a.memory[0:PAGE], want)
                child.say()

    def handovers(self):
        """To a worker, for the next READ."""
        before = counters(self.pair.b.link)["worker_handover"]
        self.child.go()
        self.child.listen()
        return counters(self.pair.b.link)["worker_handover"] - before


@pytest.mark.parametrize("flush", (True, False), ids=("sync", "async"))
def test_prefetch_without_faulting(pair, flush):
    """Pages that are there become known, no other comes; READs then wait for no worker."""
    pages = 4, 50
    with contextlib.closing(Node(pair.b, access=ON_DEMAND, memory=Mapping(SIZE))) as b:
        for page in pages:
            b.memory.poke(noise(PAGE, page), page * PAGE)
        reader = Reader(pair, b, [(page, noise(PAGE, page)) for page in pages])
        before = present(b)
        assert sum(before) == 2
        assert reader.handovers() == 1
        advise(b, PREFETCH_NO_FAULT, flush=flush)
        wait_for(lambda: statistics(b)["page_prefetch"] == len(pages), 5,
                 "the pages that are there to be counted, and no other")
        assert present(b) == before
        assert reader.handovers() == 0
        assert reader.child.end() == 0


def test_memory_never_written(pair):
    """Is read without a worker from the second time on, until its owner writes."""
    with contextlib.closing(Node(pair.b, access=ON_DEMAND, memory=Mapping(SIZE))) as b:
        reader = Reader(pair, b, 3 * [(4, bytes(PAGE))] + 2 * [(4, noise(PAGE))])
        assert [reader.handovers() for _ in range(3)] == [1, 0, 0]
        b.memory.poke(noise(PAGE), 4 * PAGE)
        assert [reader.handovers() for _ in range(2)] == [1, 0]
        assert reader.child.end() == 0


@pytest.mark.pins
def test_prefetch_of_pinned_memory(pair):
    """Is all there already: nothing comes, and nothing is counted."""
    with pair.b.link.memory_policy("pinned"):
        with Two(pair, a={"size": SIZE}, b={"memory": Mapping(SIZE)}) as (_, b):
            for advice in (PREFETCH, PREFETCH_WRITE, PREFETCH_NO_FAULT):
                advise(b, advice)
            assert statistics(b)["page_prefetch"] == 0


def test_prefetch_of_an_implicit_region(two):
    _, b = two
    implicit(b)
    advise(b, PREFETCH_WRITE)
    assert all(present(b))


def test_advice_that_is_refused(two):
    """The errors of the manual page, ibv_advise_mr(3)."""
    a, b = two
    for flush in (True, False):
        with fails(errno.EFAULT):
            advise(b, PREFETCH, lkey=b.mr.lkey ^ 1, flush=flush)
        with fails(errno.EFAULT):
            advise(b, PREFETCH, 1, SIZE, flush=flush)
        with fails(errno.EFAULT):
            advise(b, PREFETCH, -PAGE, PAGE, flush=flush)
        with fails(errno.EOPNOTSUPP):
            advise(b, 77, flush=flush)
    with fails(errno.EINVAL):
        advise(b, PREFETCH, flags=1 << 9)
    with contextlib.closing(PD(b.context)) as other, fails(errno.EFAULT):
        advise(b, PREFETCH, pd=other)
    with contextlib.closing(MR(b.pd, SIZE, e.IBV_ACCESS_REMOTE_READ,
                               address=b.memory.addr)) as readable:
        advise(b, PREFETCH, lkey=readable.lkey)
        with fails(errno.EFAULT):
            advise(b, PREFETCH_WRITE, lkey=readable.lkey)
    b.memory.protect(PROT_READ, 2 * PAGE, PAGE)
    advise(b, PREFETCH)
    with fails(errno.EFAULT):
        advise(b, PREFETCH_WRITE)
    b.memory.unmap(4 * PAGE, PAGE)
    with fails(errno.EFAULT):
        advise(b, PREFETCH)
    advise(b, PREFETCH, 0, 0)
    # none of which did any harm
    a.post(e.IBV_WR_RDMA_WRITE, 0, PAGE, b.identity(), 0)
    a.poll()
    assert same(b.memory.peek(0, PAGE), a.memory[0:PAGE])


def waits(node):
    """Ask for all pages and wait for them, in a thread: the call ends with an error."""
    def ask():
        with contextlib.suppress(OSError):
            advise(node, PREFETCH_WRITE)
    thread = threading.Thread(target=ask)
    thread.start()
    return thread


@pytest.mark.parametrize("awaited", (False, True), ids=("async", "sync"))
@pytest.mark.parametrize("end", ("deregistered", "killed"))
def test_prefetch_that_never_ends(pair, end, awaited):
    """A page that nobody brings: giving up the region, or dying, ends it."""
    def owner(child):
        node = Node(pair.b, SIZE, access=ON_DEMAND, memory=Mapping(SIZE))
        uffd = Uffd(node.memory)
        thread = waits(node) if awaited else advise(node, PREFETCH_WRITE, flush=False)
        uffd.wait()
        if end == "killed":
            child.say()
            time.sleep(60)
        node.mr.close()
        if awaited:
            thread.join()
        child.say()
        os._exit(0)

    child = Child(owner)
    child.listen()
    if end == "killed":
        os.kill(child.pid, signal.SIGKILL)
        assert child.end() == -signal.SIGKILL
    else:
        assert child.end() == 0


def test_prefetches_hold_up_no_queue_pair(pair):
    """However many wait, of a process whose queue pairs need workers as well."""
    with Two(pair, size=SIZE, b={"memory": Mapping(SIZE)}) as (a, b):
        elsewhere = Mapping(SIZE)
        with contextlib.closing(Uffd(b.memory)), \
             contextlib.closing(MR(b.pd, SIZE, ACCESS, address=elsewhere.addr)) as mr:
            for _ in range(700):
                advise(b, PREFETCH_WRITE, 0, PAGE, flush=False)
            there = b.identity()._replace(address=elsewhere.addr, rkey=mr.rkey)
            a.memory[0:SIZE] = noise(SIZE)
            a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, there, 0)
            a.poll()
            assert same(elsewhere.peek(0, SIZE), noise(SIZE))


def test_link_goes_while_awaited(pair, link_type):
    """Who waits for a page that nobody brings does not keep the link."""
    def owner(child):
        node = Node(pair.b, SIZE, access=ON_DEMAND, memory=Mapping(SIZE))
        uffd = Uffd(node.memory)
        thread = waits(node)
        uffd.wait()
        child.say()
        thread.join()
        os._exit(0)

    child = Child(owner)
    child.listen()
    pair.b.link.delete()
    assert child.end() == 0
    pair.b.add_link(link_type)


# --- counters ------------------------------------------------------------------


def test_counters(two):
    """Faults, pages taken away, pages prefetched, per region."""
    a, b = two
    assert set(statistics(b).values()) == {0}
    a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, b.identity(), 0)
    a.poll()
    faults = statistics(b)["page_faults"]
    assert 0 < faults <= SIZE // PAGE + 1
    a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, b.identity(), 0)
    a.poll()
    assert statistics(b)["page_faults"] == faults
    advise(b, PREFETCH_WRITE)
    before = statistics(b)["page_invalidations"]
    b.memory.advise(MADV_DONTNEED, 0, 8 * PAGE)
    assert statistics(b) == {"page_faults": faults, "page_prefetch": SIZE // PAGE,
                             "page_invalidations": before + 8}
