# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Running programs, as root or as a user who may do nothing."""

import os
import subprocess

# Where `python3 -m lab.NAME` finds it.
TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# What a login without any configuration has had for memory locking.
MEMLOCK = 64 * 1024


def run(*argv, check=True, timeout=60, **options):
    """Run a program to its end; return its standard output."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=timeout, check=False, **options)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: exit status {done.returncode}\n"
                           f"{done.stdout}{done.stderr}")
    return done.stdout


def as_user(argv, memlock=MEMLOCK):
    """The command line that runs argv as the user `dev`: no capabilities, and
    at most memlock bytes of locked memory."""
    return ["prlimit", f"--memlock={memlock}:{memlock}", "setpriv",
            "--reuid", "dev", "--regid", "dev", "--clear-groups",
            "--inh-caps=-all", *argv]


def status_kib(pid, field):
    """A size from /proc/PID/status in KiB, such as VmPin or VmLck."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    raise KeyError(field)


def memory(pid):
    """What a process holds pinned and locked, in KiB."""
    return {field: status_kib(pid, field) for field in ("VmPin", "VmLck")}
