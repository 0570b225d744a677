# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What the kernel's tracepoints have to say."""

import contextlib
import os

from lab.command import run
from lab.mapping import read_file, write_file

TRACING = "/sys/kernel/tracing"


@contextlib.contextmanager
def traced(events, word):
    """Yields a function for what such events ("urxe", or "workqueue/NAME") have said
    since, as lines: those with the word in them."""
    if not os.path.exists(f"{TRACING}/trace"):
        run("mount", "-t", "tracefs", "tracefs", TRACING)
    switch = f"{TRACING}/events/{events}/enable"
    write_file(f"{TRACING}/trace", "")
    write_file(switch, 1)
    try:
        yield lambda: [line for line in read_file(f"{TRACING}/trace").splitlines()
                       if word in line]
    finally:
        write_file(switch, 0)
