# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The figures of a place as a table: medians, and how many times faster urxe is
than each other player (for a latency: how many times shorter). `pinned` is urxe
with the policy to pin, for what not pinning costs or saves."""

import statistics

from contest import TCP


def median(values):
    return statistics.median(values) if values else None


def cell(value, form="{:.1f}"):
    return "-" if value is None else form.format(value)


def ratio(ours, theirs, unit):
    if not ours or not theirs:
        return None
    return theirs / ours if unit == "us" else ours / theirs


ROW = "{:<20}{:>7}{:>10}{:>10}{:>10}{:>10}{:>8}{:>8}"


def show(place, figures):
    """Print the table of a place."""
    players = {player.name: player for player in place.players}

    def of(workload, name):
        player = players.get(name)
        return median(figures.of(place, workload, player)) if player else None

    tcp = of(TCP, "tcp")
    print(f"\n{place.name} (TCP: {cell(tcp)} MiB/s)")
    print(ROW.format("workload", "unit", "urxe", "pinned", "rdma_rxe",
                     "x pinned", "x rxe", "x TCP"))
    for workload in place.workloads:
        if workload is TCP:
            continue
        unit, ours = workload.unit, of(workload, "urxe")
        pinned, theirs = of(workload, "pinned"), of(workload, "rdma_rxe")
        print(ROW.format(workload.name, unit, cell(ours), cell(pinned),
                         cell(theirs), cell(ratio(ours, pinned, unit), "{:.2f}"),
                         cell(ratio(ours, theirs, unit), "{:.2f}"),
                         cell(ratio(ours, tcp, unit) if unit != "us" else None,
                              "{:.2f}")))
    print(flush=True)
