# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The figures of a place as a table: medians, and how many times faster urxe is
than each other player (for a latency: how many times shorter)."""

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


def show(place, figures):
    players = {player.name: player for player in place.players}
    tcp = median(figures.of(place, TCP, players["tcp"]))
    print(f"\n{place.name} (TCP: {cell(tcp)} MiB/s)")
    row = "{:<22}{:>7}{:>11}{:>11}{:>9}{:>9}"
    print(row.format("workload", "unit", "urxe", "rdma_rxe", "x rxe", "x TCP"))
    for workload in place.workloads:
        if workload is TCP:
            continue
        ours = median(figures.of(place, workload, players["urxe"]))
        theirs = median(figures.of(place, workload, players["rdma_rxe"])
                        ) if "rdma_rxe" in players else None
        print(row.format(workload.name, workload.unit, cell(ours), cell(theirs),
                         cell(ratio(ours, theirs, workload.unit), "{:.2f}"),
                         cell(ratio(ours, tcp, workload.unit)
                              if workload.unit != "us" else None, "{:.2f}")))
    print(flush=True)
