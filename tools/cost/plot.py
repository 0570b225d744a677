# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""A drawing of times against sizes, both in powers, as SVG."""

import math

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 380, 70, 100, 30, 50
COLOURS = ("#0b6e4f", "#c1440e", "#3d5a80")
TEXT = 'font-family="sans-serif" font-size="12" fill="#333"'


class Axes:
    """Where a value is on the paper."""

    def __init__(self, lines):
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
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)


def duration(us):
    for unit, name in ((1e6, "s"), (1e3, "ms")):
        if us >= unit:
            return f"{us / unit:g} {name}"
    return f"{us:g} us"


def grid(axes, size_name):
    """Horizontal lines with times, sizes below."""
    for power in range(axes.low, axes.high + 1):
        y = axes.y(10 ** power)
        yield (f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
               'stroke="#ddd"/>')
        yield (f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" {TEXT}>'
               f'{duration(10 ** power)}</text>')
    for power in range(math.ceil(axes.first), math.floor(axes.last) + 1, 4):
        yield (f'<text x="{axes.x(2 ** power):.1f}" y="{HEIGHT - BOTTOM + 20}" '
               f'text-anchor="middle" {TEXT}>{size_name(2 ** power)}</text>')


def line(axes, points, colour):
    path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'


def labels(axes, lines):
    """A name at the end of each line, below one that is there already."""
    taken = []
    for name, points in lines.items():
        x, y = axes.x(points[-1][0]) + 6, axes.y(points[-1][1]) + 4
        while any(abs(x - other_x) < 60 and abs(y - other_y) < 14
                  for other_x, other_y in taken):
            y += 1
        taken.append((x, y))
        yield f'<text x="{x:.1f}" y="{y:.1f}" {TEXT}>{name}</text>'


def svg(lines, size_name):
    """A drawing of {name: [(size, microseconds)]}."""
    axes = Axes(lines)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
             f'<text x="{LEFT}" y="18" {TEXT}>Time to register a region, by its size'
             '</text>', *grid(axes, size_name)]
    for points, colour in zip(lines.values(), COLOURS):
        parts.extend(line(axes, points, colour))
    return "\n".join([*parts, *labels(axes, lines), "</svg>", ""])
