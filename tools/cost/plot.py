# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Drawings of costs against sizes, both in powers, one below the other, as SVG."""

import math

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 380, 70, 100, 30, 50
COLOURS = ("#0b6e4f", "#c1440e", "#3d5a80")
TEXT = 'font-family="sans-serif" font-size="12" fill="#333"'


def duration(us):
    for unit, name in ((1e6, "s"), (1e3, "ms")):
        if us >= unit:
            return f"{us / unit:g} {name}"
    return f"{us:g} us"


def amount(size):
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:g} {name}"
    return f"{size:g} B"


class Panel:
    """One drawing: a title, {name: [(size, value)]}, and how a value is written. It
    begins @top below the paper's edge."""

    def __init__(self, title, lines, value_name, top=0):
        self.title, self.lines, self.value_name, self.top = title, lines, value_name, top
        points = [point for line in lines.values() for point in line]
        self.first, self.last = (math.log2(edge(x for x, _ in points))
                                 for edge in (min, max))
        self.low = math.floor(math.log10(min(y for _, y in points)))
        self.high = math.ceil(math.log10(max(y for _, y in points)))

    def x(self, value):
        part = (math.log2(value) - self.first) / (self.last - self.first)
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return self.top + HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)

    def grid(self, size_name):
        """Horizontal lines with values, sizes below."""
        for power in range(self.low, self.high + 1):
            y = self.y(10 ** power)
            yield (f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
                   'stroke="#ddd"/>')
            yield (f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" {TEXT}>'
                   f'{self.value_name(10 ** power)}</text>')
        for power in range(math.ceil(self.first), math.floor(self.last) + 1, 4):
            yield (f'<text x="{self.x(2 ** power):.1f}" '
                   f'y="{self.top + HEIGHT - BOTTOM + 20}" '
                   f'text-anchor="middle" {TEXT}>{size_name(2 ** power)}</text>')

    def line(self, points, colour):
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        yield (f'<polyline points="{path}" fill="none" stroke="{colour}" '
               'stroke-width="2"/>')

    def labels(self):
        """A name at the end of each line, below one that is there already."""
        taken = []
        for name, points in self.lines.items():
            x, y = self.x(points[-1][0]) + 6, self.y(points[-1][1]) + 4
            while any(abs(x - other_x) < 60 and abs(y - other_y) < 14
                      for other_x, other_y in taken):
                y += 1
            taken.append((x, y))
            yield f'<text x="{x:.1f}" y="{y:.1f}" {TEXT}>{name}</text>'

    def parts(self, size_name):
        yield f'<text x="{LEFT}" y="{self.top + 18}" {TEXT}>{self.title}</text>'
        yield from self.grid(size_name)
        for points, colour in zip(self.lines.values(), COLOURS):
            yield from self.line(points, colour)
        yield from self.labels()


def svg(times, held, size_name):
    """Of {name: [(size, microseconds)]} and {name: [(size, bytes)]}."""
    panels = (Panel("Time to register a region, by its size", times, duration),
              Panel("Memory that a registered region holds (pinned, and the kernel's own)",
                    held, amount, HEIGHT))
    height = HEIGHT * len(panels)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        *(part for panel in panels for part in panel.parts(size_name)), "</svg>", ""])
