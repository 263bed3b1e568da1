"""Charts as SVG and HTML: sharp at any size, coloured by the page's style sheet, and readable without a mouse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

WIDTH, HEIGHT = 420, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 40
BINS = 24
# About how large a letter and a line of a label are.
LETTER, LINE = 6.2, 13


@dataclass(frozen=True)
class Mark:
    """A point of a scatter plot.

    Attributes:
        x: Place.
        y: Place.
        name: What is shown beside it or on hover.
        style: Class of the style sheet.
        low: Lower end of its interval in y.
        high: Upper end.
        label: Whether its name is written beside it.
    """

    x: float
    y: float
    name: str
    style: str
    low: float | None = None
    high: float | None = None
    label: bool = False


class Axes:
    """A frame that turns numbers into places.

    Args:
        x: Smallest and largest number.
        y: Smallest and largest number.
        names: What both are.
        log: Whether x is shown by its logarithm.
    """

    def __init__(
        self, x: tuple[float, float], y: tuple[float, float], names: tuple[str, str], *, log: bool = False
    ) -> None:
        self.log, self.names = log, names
        self.x0, self.x1 = (math.log10(x[0]), math.log10(x[1])) if log else x
        self.y0, self.y1 = y

    def x(self, value: float) -> float:
        """Return where a number is, from the left."""
        value = math.log10(value) if self.log else value
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.x0) / ((self.x1 - self.x0) or 1)

    def y(self, value: float) -> float:
        """Return where a number is, from the top."""
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - self.y0) / ((self.y1 - self.y0) or 1)

    def drawn(self, parts: Sequence[str], title: str) -> str:
        """Return the chart with its axes."""
        box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}"'
        lines = [f'<svg class="mu-chart" {box}>']
        for value in _ticks(self.y0, self.y1):
            place = self.y(value)
            lines.append(f'<line class="mu-grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{place:.1f}" y2="{place:.1f}"/>')
            lines.append(f'<text x="{LEFT - 6}" y="{place + 4:.1f}" text-anchor="end">{value:g}</text>')
        for value in self._x_ticks():
            lines.append(
                f'<text x="{self.x(value):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{value:g}</text>'
            )
        low = HEIGHT - BOTTOM
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
        parts = (1,) if self.x1 - self.x0 > 1.5 else (1, 2, 5)
        every = [part * 10.0**power for power in powers for part in parts]
        return [value for value in every if self.x0 <= math.log10(value) <= self.x1]


def _ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers within a range."""
    span = (high - low) or 1
    step = 10.0 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if span / (step * factor) <= 5)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) + 0 for k in range(first, math.floor(high / step + 1e-9) + 1)]


def legend(names: Mapping[str, str]) -> str:
    """Return the key of a chart: style by name."""
    keys = [f'<span><i class="{style}"></i>{escape(name)}</span>' for name, style in names.items()]
    return f'<div class="mu-legend">{"".join(keys)}</div>'


def bars(groups: Mapping[str, Mapping[str, tuple[float, str]]], styles: Mapping[str, str]) -> str:
    """Return shares as bars, a group of them a line of words: their length is their value, which stands beside them.

    Args:
        groups: Group, then bar: its share in [0, 1] and what stands beside it.
        styles: Class of the style sheet by bar.
    """
    lines = []
    for group, each in groups.items():
        lines.append(f'<div class="mu-bars"><b>{escape(group)}</b>')
        for name, (value, words) in each.items():
            width = 100 * min(max(value, 0), 1)
            lines.append(
                f'<div class="mu-bar"><span>{escape(name)}</span><div class="mu-track">'
                f'<i class="{styles[name]}" style="width:{width:.1f}%"></i></div><em>{escape(words)}</em></div>'
            )
        lines.append("</div>")
    return "".join(lines)


def histogram(
    values: Mapping[str, Sequence[float]],
    styles: Mapping[str, str],
    *,
    span: tuple[float, float],
    at: float,
    name: str,
) -> str:
    """Return the shares of values in bins as stairs, one line a name, and a threshold; the end bins hold the rest.

    Args:
        values: Positive numbers by name.
        styles: Class of the style sheet by name.
        span: Where the axis, which is logarithmic, begins and ends.
        at: Where the threshold is.
        name: What the numbers are.
    """
    low, high = span
    edges = np.geomspace(low, high, BINS + 1)
    edges[0], edges[-1] = low, high  # rounding must not lose what lies at an end
    shares = {
        key: np.histogram(np.clip(each, low, high), edges)[0] / max(len(each), 1) for key, each in values.items()
    }
    top = max((float(share.max()) for share in shares.values()), default=1.0) or 1.0
    axes = Axes(span, (0, top), (name, "share of rows"), log=True)
    parts = []
    for key, share in shares.items():
        path = [f"M{axes.x(low):.1f} {axes.y(0):.1f}"]
        for left, right, value in zip(edges[:-1], edges[1:], share, strict=True):
            path.append(f"L{axes.x(left):.1f} {axes.y(value):.1f}L{axes.x(right):.1f} {axes.y(value):.1f}")
        path.append(f"L{axes.x(high):.1f} {axes.y(0):.1f}")
        parts.append(f'<path class="{styles[key]} mu-stairs" d="{"".join(path)}"><title>{escape(key)}</title></path>')
    place = axes.x(min(max(at, low), high))
    parts.append(f'<line class="mu-threshold" x1="{place:.1f}" x2="{place:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    return axes.drawn(parts, f"histogram of {name}") + legend({key: styles[key] for key in values})


def _range(values: Sequence[float], pad: float = 0.08) -> tuple[float, float]:
    low, high = min(values), max(values)
    edge = pad * ((high - low) or 1)
    return low - edge, high + edge


def scatter(
    marks: Sequence[Mark],
    names: tuple[str, str],
    *,
    log: bool = False,
    y: tuple[float, float] | None = None,
    key: Mapping[str, str] | None = None,
) -> str:
    """Return points in a frame; nothing where there are none.

    Args:
        marks: The points.
        names: What x and y are.
        log: Whether x is shown by its logarithm.
        y: Range of y.
        key: Styles to explain below, by name.
    """
    if not marks:
        return '<p class="mu-note">Nothing to draw yet.</p>'
    xs = [mark.x for mark in marks]
    x = (min(xs) / 1.5, max(xs) * 1.5) if log else _range(xs)
    axes = Axes(x, y or _range([mark.y for mark in marks]), names, log=log)
    parts = []
    for mark in marks:
        px, py = axes.x(mark.x), axes.y(mark.y)
        if mark.low is not None and mark.high is not None:
            parts.append(
                f'<line class="{mark.style} mu-span" x1="{px:.1f}" x2="{px:.1f}" y1="{axes.y(mark.low):.1f}" '
                f'y2="{axes.y(mark.high):.1f}"/>'
            )
        words = escape(f"{mark.name}: {names[0]} {mark.x:.3g}, {names[1]} {mark.y:.3g}")
        parts.append(f'<circle class="{mark.style}" cx="{px:.1f}" cy="{py:.1f}" r="5"><title>{words}</title></circle>')
    parts += _labels([(axes.x(mark.x), axes.y(mark.y), mark.name) for mark in marks if mark.label])
    return axes.drawn(parts, f"{names[1]} against {names[0]}") + (legend(key) if key else "")


def _labels(wanted: Sequence[tuple[float, float, str]]) -> list[str]:
    """Return names beside their points, but for those that would cover another; all are shown on hover."""
    taken: list[tuple[float, float, float]] = []
    parts = []
    for x, y, name in wanted:
        width = LETTER * len(name)
        right = x + 8 + width > WIDTH
        left = x - 8 - width if right else x + 8
        if any(abs(y - other) < LINE and left < end and start < left + width for start, end, other in taken):
            continue
        taken.append((left, left + width, y))
        place = f'x="{x - 8:.1f}" text-anchor="end"' if right else f'x="{x + 8:.1f}"'
        parts.append(f'<text class="mu-label" {place} y="{y + 4:.1f}">{escape(name)}</text>')
    return parts


def curves(lines: Mapping[str, tuple[str, Sequence[tuple[float, float]]]], names: tuple[str, str]) -> str:
    """Return lines in a frame: by name their style and points."""
    points = [point for _, line in lines.values() for point in line if math.isfinite(point[1])]
    if not points:
        return '<p class="mu-note">This method has no steps to show.</p>'
    highest = max(y for _, y in points) or 1.0
    axes = Axes((0, max(x for x, _ in points) or 1), (0, 1.05 * highest), names)
    parts = []
    for name, (style, line) in lines.items():
        places = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in line if math.isfinite(y))
        parts.append(f'<polyline class="{style} mu-line" points="{places}"><title>{escape(name)}</title></polyline>')
    return axes.drawn(parts, f"{names[1]} against {names[0]}") + legend({n: s for n, (s, _) in lines.items()})


def table(head: Sequence[tuple[str, str]], lines: Sequence[Sequence[str]], *, label: str) -> str:
    """Return a table whose columns say on hover, and to screen readers, what they are.

    Args:
        head: Name and meaning of every column.
        lines: Words of every cell.
        label: What the table is.
    """
    top = "".join(
        f'<th scope="col" tabindex="0" title="{escape(words, quote=True)}">{escape(name)}</th>' for name, words in head
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{escape(c)}</th>' if i == 0 else f"<td>{escape(c)}</td>" for i, c in enumerate(line)
        )
        + "</tr>"
        for line in lines
    )
    return (
        f'<div class="mu-scroll" tabindex="0" role="region" aria-label="{escape(label, quote=True)}"><table '
        f'class="mu-table"><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
