"""A scatter plot whose points have labels and intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from charts.axes import LEFT, WIDTH, Axes, legend

# Approximate width of a letter and height of a line of a label.
LETTER, LINE = 7.2, 13
# Of a mark.
RADIUS = 5


@dataclass(frozen=True)
class Box:
    """A rectangle: its left end, the middle of its height, its width and height."""

    left: float
    middle: float
    width: float
    height: float

    def overlaps(self, other: Box) -> bool:
        """Whether it covers a part of another."""
        beside = self.left < other.left + other.width and other.left < self.left + self.width
        return beside and abs(self.middle - other.middle) < (self.height + other.height) / 2

    def is_inside(self) -> bool:
        """Whether it lies within a chart."""
        return self.left >= LEFT and self.left + self.width <= WIDTH and self.middle >= self.height / 2


@dataclass(frozen=True)
class Mark:
    """A point of a scatter plot, with its interval in y; its name is shown on hover, and beside it if ``label``."""

    x: float
    y: float
    name: str
    style: str
    low: float | None = None
    high: float | None = None
    label: bool = False


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return which points no other one exceeds in one value without being lower in the other."""
    return [not any(x >= a and y >= b and (x, y) != (a, b) for x, y in points) for a, b in points]


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    edge = 0.08 * ((high - low) or 1)
    return low - edge, high + edge


def scatter(
    marks: Sequence[Mark],
    names: tuple[str, str],
    *,
    log: bool = False,
    y: tuple[float, float] | None = None,
    key: Mapping[str, str] | None = None,
    lines: Mapping[str, tuple[str, Sequence[tuple[float, float]]]] | None = None,
) -> str:
    """Return a scatter plot, or a note where there are no points.

    The names are those of the axes, ``log`` makes x logarithmic, ``y`` is its range, ``key`` the legend (CSS classes),
    ``lines`` are drawn below the points, each given by name as its CSS class and points.
    """
    if not marks:
        return '<p class="mu-note">No points to plot yet.</p>'
    lines = lines or {}
    xs = [*(mark.x for mark in marks), *(x for _, line in lines.values() for x, _ in line)]
    x = (min(xs) / 1.5, max(xs) * 1.5) if log else _range(xs)
    axes = Axes(x, y or _range([mark.y for mark in marks]), names, log=log)
    parts = [axes.line(style, line, name) for name, (style, line) in lines.items()]
    for mark in marks:
        px, py = axes.x(mark.x), axes.y(mark.y)
        if mark.low is not None and mark.high is not None:
            parts.append(
                f'<line class="{mark.style} mu-span" x1="{px:.1f}" x2="{px:.1f}" y1="{axes.y(mark.low):.1f}" '
                f'y2="{axes.y(mark.high):.1f}"/>'
            )
        title = escape(f"{mark.name}: {names[0]} {mark.x:.3g}, {names[1]} {mark.y:.3g}")
        parts.append(
            f'<circle class="{mark.style}" cx="{px:.1f}" cy="{py:.1f}" r="{RADIUS}"><title>{title}</title></circle>'
        )
    places = [(axes.x(mark.x), axes.y(mark.y)) for mark in marks]
    parts += _labels([(*place, mark.name) for place, mark in zip(places, marks, strict=True) if mark.label], places)
    key = {**(key or {}), **{name: style for name, (style, _) in lines.items()}}
    return axes.svg(parts, f"{names[1]} against {names[0]}") + (legend(key) if key else "")


def _labels(points: Sequence[tuple[float, float, str]], marks: Sequence[tuple[float, float]]) -> list[str]:
    """Return labels beside their points, without those that would overlap another; all are shown on hover.

    A label lies where it covers no mark, as far as there is such a place.
    """
    taken: list[Box] = []
    circles = [Box(x - RADIUS, y, 2 * RADIUS, 2 * RADIUS) for x, y in marks]
    parts = []
    for x, y, name in points:
        width = LETTER * len(name)
        around = [(x + 8, y), (x - 8 - width, y), (x - width / 2, y - LINE), (x - width / 2, y + LINE)]
        boxes = [Box(left, middle, width, LINE) for left, middle in around]
        free = [box for box in boxes if box.is_inside() and not any(map(box.overlaps, taken))]
        if not free:
            continue
        box = next((box for box in free if not any(map(box.overlaps, circles))), free[0])
        taken.append(box)
        parts.append(f'<text class="mu-label" x="{box.left:.1f}" y="{box.middle + 4:.1f}">{escape(name)}</text>')
    return parts
