"""The charts of the leaderboard: what was reached at which cost, and the two halves of S."""

from __future__ import annotations

from collections.abc import Sequence

from handlers.board import CONTROL, HERE, SHIPPED, SUBMITTED, YOURS, Line

from charts.scatter import Mark, scatter

STYLE = {SHIPPED: "mu-run", HERE: "mu-c2", YOURS: "mu-c4", SUBMITTED: "mu-test", CONTROL: "mu-base"}


def cost_chart(chosen: Sequence[Line]) -> str:
    """Return S against cost."""
    marks = [
        Mark(e.passes, e.score, _name(line, chosen), STYLE[line.kind], e.low, e.high, label=True)
        for line in chosen
        if (e := line.entry).score is not None and e.passes and e.passes > 0
    ]
    names = ("cost as a share of retraining's", "S")
    return scatter(marks, names, log=True, y=(0, 1.02), key={k: STYLE[k] for k in STYLE if _has(chosen, k)})


def parts_chart(chosen: Sequence[Line]) -> str:
    """Return what was forgotten against what was kept: the two halves of S."""
    marks = []
    for line in chosen:
        parts = [line.entry.metrics[name] for name in ("row", "mean", "membership", "utility")]
        if line.entry.score is None or None in parts:
            continue
        far, lost = max(*(float(p or 0) for p in parts[:3]), 0.0), float(parts[3] or 0)
        marks.append(Mark(1 - min(far, 1), 1 - min(lost, 1), _name(line, chosen), STYLE[line.kind], label=True))
    return scatter(marks, ("forgotten (1 = as retrained)", "kept (1 = as retrained)"), y=(0, 1.02))


def _name(line: Line, chosen: Sequence[Line]) -> str:
    """Return what a line is called among others: its setting is named where there are several."""
    row = line.row
    one = len({(other.row.task, other.row.backbone, other.row.ratio) for other in chosen}) == 1
    return line.entry.title if one else f"{line.entry.title}, {row.task} {row.backbone} {row.ratio} %"


def _has(chosen: Sequence[Line], kind: str) -> bool:
    return any(line.kind == kind for line in chosen)
