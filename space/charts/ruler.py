"""A ruler from 0 to 1 with values, their intervals, and marks to read them against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, EDGE, TOP, LINE = 640, 24, 40, 26
LABEL = 18  # height of a line of labels below the axis
LETTER = 6.4  # approximate width of a letter, in pixels


@dataclass(frozen=True)
class Reading:
    """A value on the ruler: its name, the value and the ends of its interval, all from 0 to 1, and its CSS class."""

    name: str
    value: float
    low: float
    high: float
    style: str


def ruler(readings: Sequence[Reading], marks: Mapping[str, float], *, ends: tuple[str, str]) -> str:
    """Return a ruler with a line for each reading.

    Args:
        readings: The values.
        marks: Other values by name, which all lines are read against.
        ends: What 0 and 1 stand for.
    """
    axis = TOP + LINE * len(readings)
    labels, lines = _place({f"{name} {score:.2f}": score for name, score in marks.items()}, axis)
    shown = [f"{one.name} {one.value:.2f}, interval {one.low:.2f} to {one.high:.2f}" for one in readings]
    shown += [f"{name} {score:.2f}" for name, score in marks.items()]
    box = f'viewBox="0 0 {WIDTH} {axis + 30 + LABEL * (lines + 1)}" role="img"'
    head = f'<svg class="mu-chart mu-ruler" {box} aria-label="{escape("; ".join(shown), quote=True)}">'
    values = [part for line, one in enumerate(readings) for part in _reading(one, TOP + LINE * (line + 0.5))]
    return "".join([head, *_axis(ends, axis), *labels, *values, "</svg>"])


def _x(value: float) -> float:
    return EDGE + (WIDTH - 2 * EDGE) * min(max(value, 0.0), 1.0)


def _axis(ends: tuple[str, str], y: float) -> list[str]:
    parts = [f'<line class="mu-axis" x1="{_x(0)}" x2="{_x(1)}" y1="{y}" y2="{y}"/>']
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = _x(tick)
        parts.append(f'<line class="mu-axis" x1="{x}" x2="{x}" y1="{y - 4}" y2="{y + 4}"/>')
        parts.append(f'<text x="{x}" y="{y + 18}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{_x(0)}" y="14">{escape(ends[0])}</text>')
    parts.append(f'<text x="{_x(1)}" y="14" text-anchor="end">{escape(ends[1])}</text>')
    return parts


def _reading(one: Reading, y: float) -> list[str]:
    x, low, high = map(_x, (one.value, one.low, one.high))
    right = one.value < 0.7
    place = f'x="{max(high, x + 8) + 6:.1f}"' if right else f'x="{min(low, x - 8) - 6:.1f}" text-anchor="end"'
    band = f'x="{low:.1f}" y="{y - 6:.1f}" width="{max(high - low, 1):.1f}" height="12" rx="6"'
    return [
        f'<rect class="{one.style} mu-band" {band}/>',
        f'<circle class="{one.style}" cx="{x:.1f}" cy="{y:.1f}" r="8"/>',
        f'<text class="mu-label" {place} y="{y + 4:.1f}">{escape(one.name)} {one.value:.2f}</text>',
    ]


def _place(labels: Mapping[str, float], axis: float) -> tuple[list[str], int]:
    """Return marks with their labels, each on the first line where it covers no other, and the number of lines."""
    ends: list[float] = []
    parts = []
    for label, value in sorted(labels.items(), key=lambda one: one[1]):
        x, half = _x(value), LETTER * len(label) / 2
        middle = min(max(x, half), WIDTH - half)
        line = next((i for i, end in enumerate(ends) if end < middle - half), len(ends))
        ends[line : line + 1] = [middle + half + LETTER]
        y = axis + 40 + LABEL * line
        parts.append(f'<line class="mu-mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{axis + 6}"/>')
        parts.append(f'<line class="mu-grid" x1="{x:.1f}" x2="{x:.1f}" y1="{axis + 22}" y2="{y - 11}"/>')
        parts.append(f'<text class="mu-label" x="{middle:.1f}" y="{y}" text-anchor="middle">{escape(label)}</text>')
    return parts, len(ends)
