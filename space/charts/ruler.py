"""A ruler from 0 to 1 with values, their intervals, and marks to read them against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

# Pixels; across, places are percentages, so that letters keep their size on a narrow screen.
TOP, LINE, LABEL = 30, 42, 18


@dataclass(frozen=True)
class Reading:
    """A value on the ruler: its name, the value and the ends of its interval, all from 0 to 1, and its CSS class."""

    name: str
    value: float
    low: float
    high: float
    style: str


def ruler(readings: Sequence[Reading], marks: Mapping[str, float], *, ends: tuple[str, str]) -> str:
    """Return a ruler with a line for each reading, and below it a line for the label of each mark.

    Args:
        readings: The values.
        marks: Other values by name, which all lines are read against.
        ends: What 0 and 1 stand for.
    """
    axis = TOP + LINE * len(readings)
    shown = [f"{one.name} {one.value:.2f}, interval {one.low:.2f} to {one.high:.2f}" for one in readings]
    shown += [f"{name} {score:.2f}" for name, score in marks.items()]
    height = axis + 28 + LABEL * len(marks)
    head = f'<svg class="mu-ruler" height="{height}" role="img" aria-label="{escape("; ".join(shown), quote=True)}">'
    values = [part for line, one in enumerate(readings) for part in _reading(one, TOP + LINE * line)]
    return "".join([head, *_axis(ends, axis), *_marks(marks, axis), *values, "</svg>"])


def _x(value: float) -> str:
    return f"{100 * min(max(value, 0.0), 1.0):.1f}%"


def _label(text: str, value: float, y: float, style: str = "mu-label") -> str:
    """Return a label at a value; it is moved to the left by that share of its own width, so that it is never cut."""
    x = _x(value)
    return f'<text class="{style}" x="{x}" y="{y}" style="transform:translateX(-{x})">{escape(text)}</text>'


def _axis(ends: tuple[str, str], y: float) -> list[str]:
    parts = [f'<line class="mu-axis" x1="0%" x2="100%" y1="{y}" y2="{y}"/>']
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<line class="mu-axis" x1="{_x(tick)}" x2="{_x(tick)}" y1="{y - 4}" y2="{y + 4}"/>')
        parts.append(_label(f"{tick:g}", tick, y + 18, ""))
    return [*parts, *(_label(name, value, 14, "") for value, name in enumerate(ends))]


def _reading(one: Reading, y: float) -> list[str]:
    x, low = _x(one.value), _x(one.low)
    band = f'x="{low}" y="{y + 21}" width="{max(100 * (one.high - one.low), 0.2):.1f}%" height="12" rx="6"'
    return [
        f'<rect class="{one.style} mu-band" {band}/>',
        f'<circle class="{one.style}" cx="{x}" cy="{y + 27}" r="8"/>',
        _label(f"{one.name} {one.value:.2f}", one.value, y + 14),
    ]


def _marks(marks: Mapping[str, float], axis: float) -> list[str]:
    """Return marks with their labels, from the largest on, so that no line crosses the label of a smaller one."""
    parts = []
    for line, (name, value) in enumerate(sorted(marks.items(), key=lambda one: one[1], reverse=True)):
        x, y = _x(value), axis + 38 + LABEL * line
        parts.append(f'<line class="mu-mark" x1="{x}" x2="{x}" y1="{TOP + 16}" y2="{axis + 6}"/>')
        parts.append(f'<line class="mu-grid" x1="{x}" x2="{x}" y1="{axis + 6}" y2="{y - 12}"/>')
        parts.append(_label(f"{name} {value:.2f}", value, y))
    return parts
