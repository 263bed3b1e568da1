"""Line charts: histograms, and values by step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from charts.axes import BOTTOM, HEIGHT, TOP, Axes, legend

BINS = 24
Array = npt.NDArray[np.float64]


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
    parts.append(_threshold(axes, min(max(threshold, low), high)))
    return axes.svg(parts, f"histogram of {name}") + legend({key: styles[key] for key in values})


def _threshold(axes: Axes, value: float) -> str:
    x = axes.x(value)
    return f'<line class="mu-threshold" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'


def advantages(
    lines: Mapping[str, tuple[str, Array]], chance: Array, thresholds: Array, *, threshold: float, name: str
) -> str:
    """Return an attack's advantage by threshold, one line per model, over the band that chance gives.

    Args:
        lines: CSS class and advantages by model, ``(N,)``.
        chance: Half the width of the band, ``(N,)``.
        thresholds: The thresholds, ascending, ``(N,)``.
        threshold: The chosen one.
        name: Name of the loss.
    """
    values = np.concatenate([chance, -chance, *(line for _, line in lines.values())])
    span = (float(thresholds[0]), float(thresholds[-1]))
    axes = Axes(span, (float(values.min()), float(values.max())), (name, "advantage of the attack"), log=True)
    ends = [*zip(thresholds, chance, strict=True), *zip(thresholds[::-1], -chance[::-1], strict=True)]
    parts = [f'<polygon class="mu-base mu-band" points="{axes.path(ends)}"><title>by chance</title></polygon>']
    for model, (style, line) in lines.items():
        parts.append(axes.line(style, zip(thresholds, line, strict=True), model))
    parts.append(_threshold(axes, min(max(threshold, span[0]), span[1])))
    key = {**{each: style for each, (style, _) in lines.items()}, "within chance (95 %)": "mu-base mu-faint"}
    return axes.svg(parts, f"advantage of the attack against {name}") + legend(key)


def curves(lines: Mapping[str, tuple[str, Sequence[tuple[float, float]]]], names: tuple[str, str]) -> str:
    """Return a chart of lines, each given by name as its CSS class and points."""
    points = [point for _, line in lines.values() for point in line if math.isfinite(point[1])]
    if not points:
        return '<p class="mu-note">This method has no training steps.</p>'
    highest = max(y for _, y in points) or 1.0
    axes = Axes((0, max(x for x, _ in points) or 1), (0, 1.05 * highest), names)
    parts = [axes.line(style, line, name) for name, (style, line) in lines.items()]
    return axes.svg(parts, f"{names[1]} against {names[0]}") + legend({n: s for n, (s, _) in lines.items()})
