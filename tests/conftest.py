# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What every test gets: a watch on the kernel's log, a count of RDMA objects,
and links to test on.

Tests run as root inside the virtual machine (see `make check`)."""

import contextlib
import os

import pytest

from lab import machine, net, resources, skips
from lab.klog import KernelLog
from lab.mapping import Child
from lab.marks import slow
from lab.rc import counters

pytest_plugins = ["lab.umem_bench"]
RESULTS = os.environ.get("URXE_RESULTS")


def pytest_addoption(parser):
    parser.addoption("--link-type", default="urxe", choices=sorted(net.MODULES),
                     help="the RDMA link type under test")
    parser.addoption("--quick", action="store_true",
                     help="leave out what takes long")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: left out by --quick")
    config.addinivalue_line("markers", "pins: pins memory, in a place that README lists or "
                            "in another's")
    config.addinivalue_line("markers", "one_host_too: holds between two ends on one link as "
                            "well, which is slow")
    config.addinivalue_line("markers", "urxe_only(why): says nothing of another link type")
    config.klog = KernelLog()
    net.load(config.getoption("--link-type"))


def pytest_generate_tests(metafunc):
    if metafunc.definition.get_closest_marker("one_host_too"):
        metafunc.parametrize("pair", ("veth", slow("host")), indirect=True)


def pytest_collection_modifyitems(config, items):
    if config.getoption("--quick"):
        late = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=late)
        items[:] = [item for item in items if item not in late]
    for item in items:
        ours = item.get_closest_marker("urxe_only")
        if ours and config.getoption("--link-type") != "urxe":
            item.add_marker(pytest.mark.skip(reason=ours.args[0]))


def fail_on_report(item, outcome):
    """A report in the kernel's log fails the phase of the test it came in."""
    found = item.config.klog.reports()
    if not found or outcome.excinfo:
        return
    error = AssertionError("the kernel reported a defect:\n" + "\n".join(found))
    if hasattr(outcome, "force_exception"):
        outcome.force_exception(error)
    else:
        raise error  # pluggy before 1.1


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item):
    KernelLog.mark(item.nodeid)
    fail_on_report(item, (yield))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    fail_on_report(item, (yield))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item):
    fail_on_report(item, (yield))


def counters_of_all():
    """What each link has counted, but for what it has not."""
    lines = []
    with contextlib.suppress(FileNotFoundError):    # when a link goes meanwhile
        for link in net.Link.all():
            counted = {name: value for name, value in counters(link).items() if value}
            lines.append(f"{link.name}: {counted}")
    return "\n".join(lines)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What has failed says why packets were dropped, if any were. What is skipped for no
    good reason has failed."""
    report = (yield).get_result()
    if item.config.getoption("--link-type") != "urxe":
        return
    if report.skipped and not skips.is_known(report.longrepr[2]):
        report.outcome = "failed"
        report.longrepr = f"{report.longrepr[2]}; see lab/skips.py"
    if report.failed:
        report.sections.append(("counters of all links", counters_of_all()))


class Tally:
    """One line for each test in the results file as soon as it is known, so
    that a machine that dies leaves the count up to there. Each test counts
    once, whatever number of its phases failed."""

    def __init__(self):
        self.outcome = {}

    def pytest_runtest_logreport(self, report):
        worst = self.outcome.get(report.nodeid, "passed")
        if report.failed:
            worst = "failed"
        elif report.skipped and worst != "failed":
            worst = "skipped"
        self.outcome[report.nodeid] = worst
        if report.when == "teardown" and RESULTS:
            with open(RESULTS, "a", encoding="utf-8") as results:
                results.write(f"{worst} {report.nodeid}\n")

    def pytest_collectreport(self, report):
        if report.failed and RESULTS:
            with open(RESULTS, "a", encoding="utf-8") as results:
                results.write(f"failed {report.nodeid} (not collected)\n")


def pytest_sessionstart(session):
    session.config.pluginmanager.register(Tally())


@pytest.fixture(scope="session")
def link_type(request):
    """The RDMA link type under test."""
    return request.config.getoption("--link-type")


@pytest.fixture(scope="session")
def debug_kernel():
    """Whether this kernel checks itself and is slow because of it."""
    return machine.DEBUG


@pytest.fixture(scope="session")
def quick(pytestconfig):
    """Whether what takes long is left out."""
    return pytestconfig.getoption("--quick")


@pytest.fixture(scope="session")
def where(link_type):
    """Where the ends of a pair can be: rdma_rxe before 7.1 receives in the
    first namespace only."""
    if link_type == "urxe" or machine.KERNEL >= (7, 1):
        return net.Pair.APART
    return net.Pair.TOGETHER


@pytest.fixture(scope="module")
def pair(request, link_type, where):
    """A veth pair with a link at each end; see net.Pair for a drawing. A module may
    say how wide, by PAIR_MTU; or, by ONE_HOST, that both ends are one link, which a test
    marked one_host_too is tried with, too."""
    if (getattr(request, "param", None) == "host" or
            getattr(request.module, "ONE_HOST", False)):
        made = net.Host(link_type, mtu=4200)
    else:
        made = net.Pair(link_type, where, getattr(request.module, "PAIR_MTU", 1500))
    with made:
        yield made


@pytest.fixture(autouse=True)
def no_object_left(request):
    """A test leaves as many RDMA objects behind as it found, and no child. Fixtures of
    the whole module are made before the count."""
    if "pair" in request.fixturenames:
        request.getfixturevalue("pair")
    before = resources.counts()
    yield
    Child.kill_all()
    def same():
        now = resources.counts()
        return all(now.get(device, counts) == counts
                   for device, counts in before.items())
    net.wait_for(same, 5, f"objects left behind, not {before}")


@pytest.fixture(autouse=True)
def nothing_pinned(request, link_type):
    """No test makes the kernel pin a page, unless it says so. README's list of places
    that pin is complete if none but those tests does."""
    before = machine.pages_pinned_ever()
    yield
    if link_type == "urxe" and not request.node.get_closest_marker("pins"):
        assert machine.pages_pinned_ever() == before, "pages were pinned"
