"""A ruler from 0 to 1 with a value, its interval, and marks to read it against."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

WIDTH, EDGE, AXIS, LINE = 640, 24, 58, 18
LETTER = 6.4  # approximate width of a letter, in pixels


def ruler(value: float, interval: tuple[float, float], marks: Mapping[str, float], *, ends: tuple[str, str]) -> str:
    """Return a ruler.

    Args:
        value: The value, from 0 to 1.
        interval: Its lower and upper end.
        marks: Other values by name.
        ends: What 0 and 1 stand for.
    """
    labels, lines = _place({f"{name} {score:.2f}": score for name, score in marks.items()})
    height = AXIS + 30 + LINE * (lines + 1)
    words = ", ".join(f"{name} {score:.2f}" for name, score in marks.items())
    title = f"S {value:.2f}, interval {interval[0]:.2f} to {interval[1]:.2f}; {words}"
    head = (
        f'<svg class="mu-chart mu-ruler" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title, True)}">'
    )
    return "".join([head, *_axis(ends), *_value(value, interval), *labels, "</svg>"])


def _x(value: float) -> float:
    return EDGE + (WIDTH - 2 * EDGE) * min(max(value, 0.0), 1.0)


def _axis(ends: tuple[str, str]) -> list[str]:
    parts = [f'<line class="mu-axis" x1="{_x(0)}" x2="{_x(1)}" y1="{AXIS}" y2="{AXIS}"/>']
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = _x(tick)
        parts.append(f'<line class="mu-axis" x1="{x}" x2="{x}" y1="{AXIS - 4}" y2="{AXIS + 4}"/>')
        parts.append(f'<text x="{x}" y="{AXIS + 18}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{_x(0)}" y="14">{escape(ends[0])}</text>')
    parts.append(f'<text x="{_x(1)}" y="14" text-anchor="end">{escape(ends[1])}</text>')
    return parts


def _value(value: float, interval: tuple[float, float]) -> list[str]:
    x, low, high = map(_x, (value, *interval))
    anchor = "start" if value < 0.1 else "end" if value > 0.9 else "middle"
    band = f'x="{low:.1f}" y="{AXIS - 6}" width="{max(high - low, 1):.1f}" height="12" rx="6"'
    return [
        f'<rect class="mu-run mu-band" {band}/>',
        f'<circle class="mu-run" cx="{x:.1f}" cy="{AXIS}" r="8"/>',
        f'<text class="mu-label" x="{x:.1f}" y="{AXIS - 14}" text-anchor="{anchor}">this run {value:.2f}</text>',
    ]


def _place(labels: Mapping[str, float]) -> tuple[list[str], int]:
    """Return marks with their labels, each on the first line where it covers no other, and the number of lines."""
    ends: list[float] = []
    parts = []
    for label, value in sorted(labels.items(), key=lambda one: one[1]):
        x, half = _x(value), LETTER * len(label) / 2
        middle = min(max(x, half), WIDTH - half)
        line = next((i for i, end in enumerate(ends) if end < middle - half), len(ends))
        ends[line : line + 1] = [middle + half + LETTER]
        y = AXIS + 40 + LINE * line
        parts.append(f'<line class="mu-mark" x1="{x:.1f}" x2="{x:.1f}" y1="{AXIS - 9}" y2="{AXIS + 9}"/>')
        parts.append(f'<line class="mu-grid" x1="{x:.1f}" x2="{x:.1f}" y1="{AXIS + 22}" y2="{y - 11}"/>')
        parts.append(f'<text class="mu-label" x="{middle:.1f}" y="{y}" text-anchor="middle">{escape(label)}</text>')
    return parts, len(ends)
