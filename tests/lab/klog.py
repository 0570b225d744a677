# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The kernel's log, read as it grows, and the reports of defects in it."""

import os
import re

PATTERNS = "/urxe/tools/vm/reports"


def patterns(path=PATTERNS):
    """The expressions that tell a report from other lines."""
    with open(path, encoding="ascii") as lines:
        kept = [line.rstrip("\n") for line in lines
                if line.strip() and not line.startswith("#")]
    return re.compile("|".join(kept))


class KernelLog:
    """All lines since this was made or last asked."""

    def __init__(self):
        self.pattern = patterns()
        self.file = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self.file, 0, os.SEEK_END)

    def lines(self):
        """The new lines, without their header."""
        found = []
        while True:
            try:
                record = os.read(self.file, 8192)
            except BlockingIOError:
                return found
            except BrokenPipeError:
                # Overwritten before it was read: the console still has it,
                # and whoever runs the machine reads that.
                found.append("(lines lost)")
                continue
            text = record.decode("utf-8", "replace").split(";", 1)[1]
            found.append(text.split("\n")[0])

    def reports(self):
        """The new lines from the first report on, or nothing."""
        new = self.lines()
        for number, line in enumerate(new):
            if self.pattern.search(line):
                return new[max(0, number - 2):number + 60]
        return []

    @staticmethod
    def mark(text):
        """Leave a line in the log, so that it can be read beside the tests."""
        with open("/dev/kmsg", "w", encoding="ascii", errors="replace") as log:
            log.write(f"<6>urxe-test: {text}\n")
