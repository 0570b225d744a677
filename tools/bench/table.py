# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The figures of a place as a table: medians, and how many times better urxe is than
each other player: faster, or for what had better be small, less. `pinned` is urxe
with the policy to pin, for what not pinning costs or saves."""

import statistics

from contest import TCP

BIG_IS_GOOD = ("MiB/s", "k/s", "%")


def median(values):
    return statistics.median(values) if values else None


def cell(value, form="{:.1f}"):
    return "-" if value is None else form.format(value)


def ratio(ours, theirs, unit):
    if not ours or not theirs:
        return None
    return ours / theirs if unit in BIG_IS_GOOD else theirs / ours


ROW = "{:<38}{:>11}{:>10}{:>10}{:>10}{:>10}{:>8}{:>8}"


def show(place, figures):
    """Print the table of a place."""
    def of(row, player):
        return median(figures.of(place, row, player))

    tcp = of((TCP.name, "MiB/s"), "tcp")
    print(f"\n{place.name} (TCP: {cell(tcp)} MiB/s)")
    print(ROW.format("workload", "unit", "urxe", "pinned", "rdma_rxe",
                     "x pinned", "x rxe", "x TCP"))
    for row in figures.rows(place):
        name, unit = row
        if name == TCP.name:
            continue
        ours, pinned, theirs = (of(row, player) for player in
                                ("urxe", "pinned", "rdma_rxe"))
        form = "{:.1f}" if unit in (*BIG_IS_GOOD, "us") else "{:.2f}"
        print(ROW.format(name, unit, cell(ours, form), cell(pinned, form),
                         cell(theirs, form), cell(ratio(ours, pinned, unit), "{:.2f}"),
                         cell(ratio(ours, theirs, unit), "{:.2f}"),
                         cell(ratio(ours, tcp, unit) if unit == "MiB/s" else None,
                              "{:.2f}")))
    print(flush=True)
