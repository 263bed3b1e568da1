"""The charts of the leaderboard: score against cost, and the two halves of the score."""

from __future__ import annotations

from collections.abc import Sequence

from charts.scatter import Mark, scatter

from handlers.board import CONTROL, HERE, SHIPPED, SUBMITTED, YOURS, Line

STYLE = {SHIPPED: "mu-run", HERE: "mu-c2", YOURS: "mu-c4", SUBMITTED: "mu-test", CONTROL: "mu-base"}


def render_cost(lines: Sequence[Line]) -> str:
    """Return S against cost."""
    marks = [
        Mark(e.passes, e.score, _name(line, lines), STYLE[line.kind], e.low, e.high, label=True)
        for line in lines
        if (e := line.entry).score is not None and e.passes and e.passes > 0
    ]
    kinds = {line.kind for line in lines}
    key = {kind: style for kind, style in STYLE.items() if kind in kinds}
    return scatter(marks, ("cost as a share of retraining's", "S"), log=True, y=(0, 1.02), key=key)


def render_parts(lines: Sequence[Line]) -> str:
    """Return forgetting against utility, the two halves of S."""
    marks = []
    for line in lines:
        parts = [line.entry.metrics[name] for name in ("row", "mean", "membership", "utility")]
        if line.entry.score is None or None in parts:
            continue
        distance, lost = max(*(float(part or 0) for part in parts[:3]), 0.0), float(parts[3] or 0)
        marks.append(Mark(1 - min(distance, 1), 1 - min(lost, 1), _name(line, lines), STYLE[line.kind], label=True))
    return scatter(marks, ("forgetting (1 = as retrained)", "utility (1 = as retrained)"), y=(0, 1.02))


def _name(line: Line, lines: Sequence[Line]) -> str:
    """Return a line's title, with its setting where the lines are of several."""
    row = line.row
    several = len({(other.row.task, other.row.backbone, other.row.ratio) for other in lines}) > 1
    return line.entry.title + (f", {row.task} {row.backbone} {row.ratio} %" if several else "")
