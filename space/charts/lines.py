"""Line charts: histograms, and values by step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from charts.axes import BOTTOM, HEIGHT, TOP, Axes, legend

BINS = 24


def histogram(
    values: Mapping[str, Sequence[float]],
    styles: Mapping[str, str],
    *,
    span: tuple[float, float],
    threshold: float,
    name: str,
) -> str:
    """Return a histogram of positive values per name as a step line, and a threshold.

    ``span`` are the ends of the logarithmic axis; the outer bins include all values beyond them.
    """
    low, high = span
    edges = np.geomspace(low, high, BINS + 1)
    edges[0], edges[-1] = low, high  # rounding must not lose the values at the ends
    counts = {key: np.histogram(np.clip(each, low, high), edges)[0] for key, each in values.items()}
    shares = {key: count / max(len(values[key]), 1) for key, count in counts.items()}
    top = max((float(share.max()) for share in shares.values()), default=1.0) or 1.0
    axes = Axes(span, (0, top), (name, "share of rows"), log=True)
    parts = []
    for key, share in shares.items():
        path = [f"M{axes.x(low):.1f} {axes.y(0):.1f}"]
        for left, right, value in zip(edges[:-1], edges[1:], share, strict=True):
            path.append(f"L{axes.x(left):.1f} {axes.y(value):.1f}L{axes.x(right):.1f} {axes.y(value):.1f}")
        path.append(f"L{axes.x(high):.1f} {axes.y(0):.1f}")
        parts.append(f'<path class="{styles[key]} mu-stairs" d="{"".join(path)}"><title>{escape(key)}</title></path>')
    x = axes.x(min(max(threshold, low), high))
    parts.append(f'<line class="mu-threshold" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    return axes.svg(parts, f"histogram of {name}") + legend({key: styles[key] for key in values})


def curves(lines: Mapping[str, tuple[str, Sequence[tuple[float, float]]]], names: tuple[str, str]) -> str:
    """Return a chart of lines, each given by name as its CSS class and points."""
    points = [point for _, line in lines.values() for point in line if math.isfinite(point[1])]
    if not points:
        return '<p class="mu-note">This method has no training steps.</p>'
    highest = max(y for _, y in points) or 1.0
    axes = Axes((0, max(x for x, _ in points) or 1), (0, 1.05 * highest), names)
    parts = []
    for name, (style, line) in lines.items():
        path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in line if math.isfinite(y))
        parts.append(f'<polyline class="{style} mu-line" points="{path}"><title>{escape(name)}</title></polyline>')
    return axes.svg(parts, f"{names[1]} against {names[0]}") + legend({n: s for n, (s, _) in lines.items()})
