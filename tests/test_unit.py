# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The driver's pure logic, compiled for user space under sanitizers. Needs no
virtual machine and no root: `python3 -m pytest tests/test_unit.py --noconftest`."""

import os
import shutil
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
# In the machine the tests may stand by themselves; the checkout is there anyway.
DRIVER = next((path for path in (os.path.join(HERE, "..", "rxe"), "/urxe/rxe")
               if os.path.exists(os.path.join(path, "opcode.c"))), None)
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-address-of-packed-member")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.fixture(autouse=True)
def no_object_left():
    """Nothing here makes an RDMA object."""


@pytest.mark.skipif(not shutil.which("gcc"), reason="no compiler")
def test_logic(tmp_path):
    """PSN arithmetic, opcode table, header layout, CRC and RNR timer agree with the
    standard, and the window does what it says."""
    program = str(tmp_path / "logic")
    subprocess.run(["gcc", "-std=gnu11", "-g", "-O1", *WARNINGS, *SANITIZERS,
                    "-I", os.path.join(HERE, "unit", "include"), "-I", DRIVER,
                    os.path.join(HERE, "unit", "logic.c"),
                    *(os.path.join(DRIVER, name)
                      for name in ("opcode.c", "crc.c", "rate.c", "rnr.c")),
                    "-o", program], check=True)
    done = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout == "0 failures\n"
