# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""All that was measured. A run that failed leaves None for each of its figures."""

import collections
import statistics


def median(values):
    """Of the runs that did not fail; None if there is none."""
    there = [value for value in values if value is not None]
    return statistics.median(there) if there else None


def by_key(results):
    """The figures of a bench.json, as Figures has them."""
    return {(one["place"], one["workload"], one["unit"], one["player"]): one["figures"]
            for one in results["results"]}


class Figures:
    """By place, workload, unit and player; and the failures."""

    def __init__(self):
        self.all = collections.defaultdict(list)
        self.failures = []

    def add(self, place, player, measured):
        for (name, unit), value in measured.items():
            self.all[place.name, name, unit, player].append(value)

    def fail(self, place, player, workload, why):
        self.add(place, player, dict.fromkeys(workload.rows))
        self.failures.append({"place": place.name, "player": player,
                              "workload": workload.name, "why": why})

    def rows(self, place):
        """(name, unit) of what was measured in a place, in order."""
        return list(dict.fromkeys((name, unit) for where, name, unit, _ in self.all
                                  if where == place.name))

    def of(self, place, row, player):
        return self.all.get((place.name, *(row or ()), player), [])

    def as_list(self):
        return [{"place": place, "workload": workload, "unit": unit,
                 "player": player, "figures": values, "median": median(values)}
                for (place, workload, unit, player), values in self.all.items()]
