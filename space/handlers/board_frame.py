"""Lines of the leaderboard as the columns of a sortable table: numbers as numbers, intervals as drawings."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Literal

from handlers.board import COLUMNS, CONTROL, RANKED, SUBMITTED, YOURS, Line
from mubench.cards.entries import Entry
from mubench.trainers.runs.method_table import method_table

NUMBERS = ("S", "row", "mean", "memb.", "util.", "shift.", "gap", "KL", "time", "passes")
HTML = ("method", "95 % interval")
DATATYPES: list[Literal["str", "number", "html"]] = [
    "number" if name in NUMBERS else "html" if name in HTML else "str" for name in COLUMNS
]
WIDTHS = {"rank": "90px", "method": "230px", "95 % interval": "170px", "setting": "260px", "seeds": "90px"}
COLUMN_WIDTHS: list[str | int] = [WIDTHS.get(name, "80px") for name in COLUMNS]
PINNED = 2
WIDTH, HEIGHT = 140, 16


def frame(lines: Sequence[Line]) -> list[list[Any]]:
    """Return the cells of every line, in the order of ``COLUMNS``: own and submitted lines first, controls last."""
    order = {YOURS: 0, SUBMITTED: 0, CONTROL: 2}
    return [_cells(line, lines) for line in sorted(lines, key=lambda line: order.get(line.kind, 1))]


def _cells(line: Line, lines: Sequence[Line]) -> list[Any]:
    values: dict[str, Any] = dict(zip(COLUMNS, line.cells, strict=True))
    for name in NUMBERS:
        values[name] = None if values[name] == "-" else float(values[name])
    values["method"] = _title(line.entry, values["method"])
    values["95 % interval"] = _interval(line)
    if line.kind in (YOURS, SUBMITTED):
        values["rank"] = f"{line.kind}{_place(line, lines)}"
    return list(values.values())


def _title(entry: Entry, title: str) -> str:
    """Return the name of a line, with a link to the paper of its method and its year."""
    method = method_table().get(entry.rows[0].method)
    if method is None or method.paper is None or method.paper.arxiv is None:
        return escape(title)
    paper = method.paper
    tip = escape(f"{paper.authors}: {paper.title}, {paper.venue}", quote=True)
    link = f'<a href="https://arxiv.org/abs/{paper.arxiv}" target="_blank" rel="noopener" title="{tip}">'
    return f"{escape(title)} {link}{paper.venue.split()[-1]}</a>"


def _peers(line: Line, lines: Sequence[Line]) -> list[Line]:
    """Return the ranked lines of a line's setting."""
    names = ("tier", "task", "family", "ratio", "backbone", "split")
    setting = [getattr(line.row, name) for name in names]
    return [one for one in lines if one.kind in RANKED and [getattr(one.row, name) for name in names] == setting]


def _place(line: Line, lines: Sequence[Line]) -> str:
    """Return between which ranked lines a visitor's own line lies by S."""
    peers = [one.entry for one in _peers(line, lines) if one.entry.score is not None]
    if line.entry.score is None or not peers:
        return ""
    above = [one for one in peers if (one.score or 0) >= line.entry.score]
    below = [one for one in peers if (one.score or 0) < line.entry.score]
    better = min(above, key=lambda one: one.score or 0, default=None)
    worse = max(below, key=lambda one: one.score or 0, default=None)
    if better and worse:
        return f", between {better.name} and {worse.name}"
    return f", below {better.name}" if better else f", above {worse.name}" if worse else ""


def _interval(line: Line) -> str:
    """Return the interval of S as a bar from 0 to 1, with lines for retrained models and half-way retraining."""
    entry = line.entry
    if entry.low is None or entry.high is None:
        return ""
    text = f"{entry.low:.2f} to {entry.high:.2f}"
    marks = "".join(
        f'<line class="mu-mark" x1="{WIDTH * score:.0f}" x2="{WIDTH * score:.0f}" y1="1" y2="{HEIGHT - 1}"/>'
        for score in _control_scores(line)
    )
    low, wide = WIDTH * entry.low, max(WIDTH * (entry.high - entry.low), 2)
    band = f'x="{low:.0f}" y="4" width="{wide:.0f}" height="{HEIGHT - 8}" rx="4"'
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{text}"><title>{text}</title>'
        f'<line class="mu-axis" x1="0" x2="{WIDTH}" y1="{HEIGHT / 2}" y2="{HEIGHT / 2}"/>'
        f'<rect class="mu-c2 mu-band" {band}/>{marks}</svg>'
    )


def _control_scores(line: Line) -> list[float]:
    controls = line.table.controls if line.table else ()
    wanted = ("retrain", "retrain_keep50")
    return [one.score for one in controls if one.rows[0].method in wanted and one.score is not None]
