# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""rdma-core's own tests, as the distribution ships them: unpacked, and a file of
them run in a process of its own.

    python3 -m lab.suite DIRECTORY FILE REPORT ARGUMENT...

runs one file and writes a line of JSON for each test to REPORT as soon as it is
known, so that a process that dies leaves what it did. The arguments are the suite's
own, such as --dev."""

import collections
import gzip
import importlib
import json
import os
import shutil
import subprocess
import sys
import types
import unittest

SHIPPED = "/usr/share/doc/rdma-core/tests"

Outcome = collections.namedtuple("Outcome", "test what why")


def unpack(directory):
    """The suite's files, readable; returns the names of those with tests."""
    for name in os.listdir(SHIPPED):
        source = os.path.join(SHIPPED, name)
        target = os.path.join(directory, name.removesuffix(".gz"))
        opener = gzip.open if name.endswith(".gz") else open
        with opener(source, "rb") as packed, open(target, "wb") as plain:
            shutil.copyfileobj(packed, plain)
    return files()


def files():
    """The names of the files that have tests."""
    names = (name.removesuffix(".gz") for name in os.listdir(SHIPPED))
    return sorted(name[:-3] for name in names
                  if name.startswith("test_") and name.endswith(".py"))


def run(directory, file, arguments, prefix=(), timeout=600):
    """Run a file's tests; returns ([Outcome], exit status, what was printed)."""
    report = os.path.join(directory, f"{file}.report")
    with open(report, "w", encoding="utf-8"):
        pass
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    done = subprocess.run([*prefix, sys.executable, "-m", "lab.suite", directory, file,
                           report, *arguments], cwd=here, timeout=timeout, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with open(report, encoding="utf-8") as lines:
        outcomes = [Outcome(*json.loads(line)) for line in lines]
    return outcomes, done.returncode, done.stdout


class Report(unittest.TextTestResult):
    """Writes each outcome down."""

    file = None

    def _write(self, test, what, why=""):
        Report.file.write(json.dumps([test.id(), what, why]) + "\n")
        Report.file.flush()

    # pylint: disable=invalid-name
    def addSuccess(self, test):
        super().addSuccess(test)
        self._write(test, "passed")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._write(test, "failed", self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self._write(test, "error", self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._write(test, "failed", str(err[1]))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._write(test, "skipped", reason)


def main(directory, file, report, *arguments):
    # Only this file is loaded: the suite's own __init__ would load all.
    package = types.ModuleType("tests")
    package.__path__ = [directory]
    sys.modules["tests"] = package
    sys.path.insert(0, directory)
    sys.argv[1:] = arguments
    importlib.import_module("args_parser").parser.parse_args()
    module = importlib.import_module(f"tests.{file}")
    tests = unittest.defaultTestLoader.loadTestsFromModule(module)
    with open(report, "a", encoding="utf-8") as Report.file:
        unittest.TextTestRunner(resultclass=Report, verbosity=2).run(tests)


if __name__ == "__main__":
    main(*sys.argv[1:])
