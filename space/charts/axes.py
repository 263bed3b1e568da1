"""Axes and legend of every chart.

Charts are SVG: sharp at any size, coloured by the page's style sheet, and readable without a mouse.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 420, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 40


class Axes:
    """Axes that map values to pixels: smallest and largest x and y, names of both, and whether x is logarithmic."""

    def __init__(
        self, x: tuple[float, float], y: tuple[float, float], names: tuple[str, str], *, log: bool = False
    ) -> None:
        self.log, self.names = log, names
        self.x0, self.x1 = (math.log10(x[0]), math.log10(x[1])) if log else x
        self.y0, self.y1 = y

    def x(self, value: float) -> float:
        """Return the pixel of a value, from the left."""
        value = math.log10(value) if self.log else value
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.x0) / ((self.x1 - self.x0) or 1)

    def y(self, value: float) -> float:
        """Return the pixel of a value, from the top."""
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - self.y0) / ((self.y1 - self.y0) or 1)

    def line(self, style: str, points: Iterable[tuple[float, float]], title: str) -> str:
        """Return a line through the points that are finite, with its CSS class and a title that is shown on hover."""
        path = self.path(points)
        return f'<polyline class="{style} mu-line" points="{path}"><title>{escape(title)}</title></polyline>'

    def path(self, points: Iterable[tuple[float, float]]) -> str:
        """Return the pixels of the points that are finite, as SVG writes them."""
        return " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points if math.isfinite(y))

    def svg(self, parts: Sequence[str], title: str) -> str:
        """Return a chart of the given parts with these axes."""
        box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}"'
        lines = [f'<svg class="mu-chart" {box}>']
        for value in _ticks(self.y0, self.y1):
            y = self.y(value)
            lines.append(f'<line class="mu-grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            lines.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        low = HEIGHT - BOTTOM
        for value in self._x_ticks():
            lines.append(f'<text x="{self.x(value):.1f}" y="{low + 16}" text-anchor="middle">{value:g}</text>')
        lines.append(f'<line class="mu-axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{low}" y2="{low}"/>')
        middle = (LEFT + WIDTH - RIGHT) / 2
        lines.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(self.names[0])}</text>')
        lines.append(
            f'<text transform="translate(12 {(TOP + low) / 2}) rotate(-90)" text-anchor="middle">'
            f"{escape(self.names[1])}</text>"
        )
        return "".join([*lines, *parts, "</svg>"])

    def _x_ticks(self) -> list[float]:
        if not self.log:
            return _ticks(self.x0, self.x1)
        powers = range(math.floor(self.x0), math.ceil(self.x1) + 1)
        factors = (1,) if self.x1 - self.x0 > 1.5 else (1, 2, 5)
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        return [value for value in ticks if self.x0 <= math.log10(value) <= self.x1]


def _ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers within a range."""
    span = (high - low) or 1
    step = 10.0 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if span / (step * factor) <= 5)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) + 0 for k in range(first, math.floor(high / step + 1e-9) + 1)]


def legend(names: Mapping[str, str]) -> str:
    """Return the legend of a chart: CSS class by name."""
    keys = [f'<span><i class="{style}"></i>{escape(name)}</span>' for name, style in names.items()]
    return f'<div class="mu-legend">{"".join(keys)}</div>'
