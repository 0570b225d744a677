# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The figures of a place as a table: medians, and how many times better urxe is than
each other player: faster, or for what had better be small, less. `pinned` is urxe
with the policy to pin, for what not pinning costs or saves."""

from figures import median
from workloads import TCP, TCP_COST

BIG_IS_GOOD = ("MiB/s", "k/s")
# What there is to compare with TCP, which is of the same size of message.
LIKE_TCP = {"MiB/s": TCP.rows[0], "s/GB": TCP_COST.rows[0]}


def cell(value, form="{:.1f}"):
    return "-" if value is None else form.format(value)


def ratio(ours, theirs, unit):
    if not ours or not theirs or unit == "%":
        return None
    return ours / theirs if unit in BIG_IS_GOOD else theirs / ours


def runs(values):
    """How many runs a median is of; and of how many, if not of all."""
    done = sum(value is not None for value in values)
    return str(done) if done == len(values) else f"{done}/{len(values)}"


ROW = "{:<38}{:>11}{:>10}{:>10}{:>10}{:>10}{:>10}{:>8}{:>8}{:>12}"
PLAYERS = ("urxe", "pinned", "rdma_rxe", "tcp")


def show(place, figures):
    """Print the table of a place."""
    print(f"\n{place.name}")
    print(ROW.format("workload", "unit", *PLAYERS, "x pinned", "x rxe", "x TCP", "runs"))
    for row in figures.rows(place):
        name, unit = row
        found = {player: figures.of(place, row, player) for player in PLAYERS}
        found["tcp"] = found["tcp"] or figures.of(place, LIKE_TCP.get(unit), "tcp")
        medians = [median(values) for values in found.values()]
        form = "{:.1f}" if unit in (*BIG_IS_GOOD, "us") else "{:.2f}"
        print(ROW.format(name, unit, *(cell(value, form) for value in medians),
                         *(cell(ratio(medians[0], other, unit), "{:.2f}")
                           for other in medians[1:]),
                         " ".join(runs(values) for values in found.values() if values)))
    print(flush=True)
