"""The tables of the leaderboard: a matrix of methods by tasks in colours, and lines whose columns can be sorted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Literal

import numpy as np

from handlers.board import COLUMNS, CONTROL, RANKED, SUBMITTED, TABLE_SETTING, YOURS, Line
from handlers.input_checks import check_choice
from mubench.cards.leaderboard import Table
from mubench.cards.leaderboard.entries import Entry
from mubench.cards.leaderboard.grouping import setting_of
from mubench.hub_builders.utils.text import count_noun
from mubench.trainers.runs.method_table import method_table

NUMBERS = ("S", "row", "mean", "memb.", "util.", "shift.", "gap", "KL", "time", "passes")
HTML = ("method", "95 % interval")
DATATYPES: list[Literal["str", "number", "html"]] = [
    "number" if name in NUMBERS else "html" if name in HTML else "str" for name in COLUMNS
]
WIDTHS = {"rank": "80px", "method": "230px", "95 % interval": "170px", "setting": "260px", "seeds": "90px"}
COLUMN_WIDTHS: list[str | int] = [WIDTHS.get(name, "80px") for name in COLUMNS]
WIDTH, HEIGHT = 140, 16
# Tiers by what their rows are.
DATA: dict[str, tuple[str, ...]] = {
    "real data": ("full", "partial"),
    "mini tasks": ("mini",),
    "own tasks": ("custom",),
}


def frame(lines: Sequence[Line], among: Sequence[Line] | None = None) -> list[list[Any]]:
    """Return the cells of every line, in the order of ``COLUMNS``: own and submitted lines first, controls last.

    Args:
        lines: The lines.
        among: The lines that a visitor's own ones are compared with, where they are more.
    """
    order = {YOURS: 0, SUBMITTED: 0, CONTROL: 2}
    return [_cells(line, among or lines) for line in sorted(lines, key=lambda line: order.get(line.kind, 1))]


def _cells(line: Line, among: Sequence[Line]) -> list[Any]:
    values: dict[str, Any] = dict(zip(COLUMNS, line.cells, strict=True))
    for name in NUMBERS:
        values[name] = None if values[name] == "-" else float(values[name])
    values["method"] = _title(line.entry, values["method"])
    table = line.table
    if line.kind in (YOURS, SUBMITTED):
        peers = _peers(line, among)
        table = peers[0].table if peers else None
        values["method"] += f"{_place(line, peers)}, on {escape(line.row.task)} ({line.row.tier})"  # of any setting
    values["95 % interval"] = _interval(line.entry, table)
    return list(values.values())


def _title(entry: Entry, title: str) -> str:
    """Return the name of a line, linked to the paper of its method, and the year of that."""
    method = method_table().get(entry.rows[0].method)
    if method is None or method.paper is None or method.paper.arxiv is None:
        return escape(title)
    paper = method.paper
    tip = escape(f"{paper.authors}: {paper.title}, {paper.venue}", quote=True)
    link = f'<a href="https://arxiv.org/abs/{paper.arxiv}" target="_blank" rel="noopener" title="{tip}">'
    return f"{link}{escape(title)}</a> {paper.venue.split()[-1]}"


def _peers(line: Line, lines: Sequence[Line]) -> list[Line]:
    """Return the ranked lines of a line's setting."""
    setting = setting_of(line.row)
    return [one for one in lines if one.kind in RANKED and setting_of(one.row) == setting]


def _place(line: Line, peers: Sequence[Line]) -> str:
    """Return between which ranked lines a visitor's own line lies by S."""
    entries = [one.entry for one in peers if one.entry.score is not None]
    if line.entry.score is None or not entries:
        return ""
    above = [one for one in entries if (one.score or 0) >= line.entry.score]
    below = [one for one in entries if (one.score or 0) < line.entry.score]
    better = min(above, key=lambda one: one.score or 0, default=None)
    worse = max(below, key=lambda one: one.score or 0, default=None)
    if better and worse:
        return f", between {escape(better.name)} and {escape(worse.name)}"
    return f", below {escape(better.name)}" if better else f", above {escape(worse.name)}" if worse else ""


def _interval(entry: Entry, table: Table | None) -> str:
    """Return the interval of S as a bar from 0 to 1, with lines for retrained models and half-way retraining."""
    if entry.low is None or entry.high is None:
        return ""
    text = f"{entry.low:.2f} to {entry.high:.2f}"
    marks = "".join(
        f'<line class="mu-mark" x1="{WIDTH * score:.0f}" x2="{WIDTH * score:.0f}" y1="1" y2="{HEIGHT - 1}"/>'
        for score in _control_scores(table)
    )
    low, wide = WIDTH * entry.low, max(WIDTH * (entry.high - entry.low), 2)
    band = f'x="{low:.0f}" y="4" width="{wide:.0f}" height="{HEIGHT - 8}" rx="4"'
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{text}"><title>{text}</title>'
        f'<line class="mu-axis" x1="0" x2="{WIDTH}" y1="{HEIGHT / 2}" y2="{HEIGHT / 2}"/>'
        f'<rect class="mu-c2 mu-band" {band}/>{marks}</svg>'
    )


def _control_scores(table: Table | None) -> list[float]:
    controls = table.controls if table else ()
    wanted = ("retrain", "retrain_keep50")
    return [one.score for one in controls if one.rows[0].method in wanted and one.score is not None]


def data_choices(lines: Sequence[Line]) -> list[str]:
    """Return the kinds of data that lines are about, real data first."""
    tiers = {line.row.tier for line in lines}
    return [name for name, found in DATA.items() if tiers & {*found}]


def render_matrix(lines: Sequence[Line], data: Any) -> str:
    """Return S by method and task, methods by their mean rank, those on fewer than half of the tasks behind others.

    Controls are below.

    Raises:
        ValueError: If there is no such kind of data.
    """
    tiers = DATA[check_choice("data", data, DATA)]
    tables = list(dict.fromkeys(
        line.table for line in lines if line.table and line.origin in RANKED and line.row.tier in tiers
    ))  # fmt: skip
    columns = [_column(table) for table in tables]
    controls = dict.fromkeys(entry.name for table in tables for entry in table.controls)
    ranked = [{name: score for name, score in column.items() if name not in controls} for column in columns]
    ranks = {name: _mean_rank(name, ranked) for name in dict.fromkeys(name for column in ranked for name in column)}
    counts = {name: sum(name in column for column in ranked) for name in ranks}
    order = sorted(ranks, key=lambda name: (2 * counts[name] < len(columns), ranks[name], name))
    head = "".join(_matrix_head(table) for table in tables)
    body = "".join(_matrix_row(name, columns, (ranks[name], counts[name])) for name in order)
    body += "".join(_matrix_row(name, columns, None) for name in controls)
    return (
        '<div class="mu-scroll" tabindex="0" role="region" aria-label="Methods by tasks"><table class="mu-table '
        f'mu-matrix"><thead><tr><th scope="col">method</th>{head}<th scope="col">mean rank</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _column(table: Table) -> Mapping[str, float | None]:
    """Return S by line of a table; ``None`` for a line without a valid one."""
    entries = (*table.entries, *table.controls)
    return {entry.name: entry.score if entry.rows[0].control or not entry.flags else None for entry in entries}


def _mean_rank(name: str, columns: Sequence[Mapping[str, float | None]]) -> float:
    """Return the mean over tasks of the rank by S; a method without S on a task shares the last rank there."""
    ranks = [
        1 + sum((other or 0) > (column[name] or 0) for other in column.values())
        for column in columns
        if name in column
    ]
    return float(np.mean(ranks))


def _matrix_head(table: Table) -> str:
    row, place = table.row, f"{table.row.backbone}, {table.row.ratio} %"
    note = "no signal, not ranked" if table.no_signal else f"open the table of {row.task}"
    setting = " ".join(f'data-{name}="{escape(str(getattr(row, name)))}"' for name in TABLE_SETTING)
    name = f"{escape(row.task)}<small>{escape(place)}</small>"
    return f'<th scope="col"><button type="button" {setting} title="{escape(note)}">{name}</button></th>'


def _matrix_row(name: str, columns: Sequence[Mapping[str, float | None]], rank: tuple[float, int] | None) -> str:
    """Return the line of a method with its mean rank and number of tasks, or of a control with none."""
    cells = []
    for column in columns:
        if (score := column.get(name)) is None:
            cells.append(f"<td>{'!' if name in column else '-'}</td>")
        else:
            cells.append(f'<td class="mu-heat" style="--s:{score:.2f}">{score:.2f}</td>')
    style = ' class="mu-control"' if rank is None else ""
    last = "<td></td>" if rank is None else f"<td>{rank[0]:.1f} <small>on {count_noun(rank[1], 'task')}</small></td>"
    return f'<tr{style}><th scope="row">{escape(name)}</th>{"".join(cells)}{last}</tr>'
