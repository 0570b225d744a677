# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""rdma-core's own tests, as the distribution ships them: a file of them, run in a
process of its own.

    python3 -m lab.suite DIRECTORY FILE ARGUMENT...

runs DIRECTORY/FILE.py and prints a line of JSON for each test. The arguments are the
suite's own, such as --dev."""

import glob
import gzip
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import types
import unittest

from lab.command import TESTS
from lab.command import run as run_program

SHIPPED = "/usr/share/doc/rdma-core/tests"


def files():
    """The names of the files that have tests."""
    names = (name.removesuffix(".gz") for name in os.listdir(SHIPPED))
    return sorted(name[:-3] for name in names
                  if name.startswith("test_") and name.endswith(".py"))


def version():
    """The first number of rdma-core's version."""
    return int(run_program("dpkg-query", "-W", "-f", "${source:Upstream-Version}",
                           "rdma-core").split(".")[0])


def passed(outcomes):
    """The tests that did, of what run() returns."""
    return {test for test, (outcome, _) in outcomes.items() if outcome == "passed"}


def unpack(directory):
    for source in glob.glob(f"{SHIPPED}/*"):
        name = os.path.basename(source)
        opener = gzip.open if name.endswith(".gz") else open
        with opener(source, "rb") as packed, \
                open(os.path.join(directory, name.removesuffix(".gz")), "wb") as plain:
            shutil.copyfileobj(packed, plain)


def run(file, *arguments, timeout=300):
    """{test: (outcome, why)}; outcome is one of passed, failed, skipped."""
    with tempfile.TemporaryDirectory() as directory:
        unpack(directory)
        done = subprocess.run([sys.executable, "-m", "lab.suite", directory, file,
                               *arguments], timeout=timeout, check=True, text=True,
                              cwd=TESTS,
                              stdout=subprocess.PIPE)
    return {test: (outcome, why) for test, outcome, why in
            map(json.loads, filter(lambda line: line.startswith("["),
                                   done.stdout.splitlines()))}


class Report(unittest.TestResult):
    """Prints each outcome."""

    # pylint: disable=invalid-name
    @staticmethod
    def say(test, outcome, why=""):
        print(json.dumps((test.id().split(".", 2)[-1], outcome, why)), flush=True)

    def addSuccess(self, test):
        self.say(test, "passed")

    def addFailure(self, test, err):
        self.say(test, "failed", self._exc_info_to_string(err, test))

    addError = addFailure

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.addFailure(subtest, err)

    def addSkip(self, test, reason):
        self.say(test, "skipped", reason)


def main(directory, file, *arguments):
    # Only this file is loaded: the suite's own __init__ would load all.
    package = types.ModuleType("tests")
    package.__path__ = [directory]
    sys.modules["tests"] = package
    sys.path.insert(0, directory)
    sys.argv[1:] = arguments
    importlib.import_module("args_parser").parser.parse_args()
    module = importlib.import_module(f"tests.{file}")
    unittest.defaultTestLoader.loadTestsFromModule(module).run(Report())
    # Some files take the interpreter down when it clears up after them.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
