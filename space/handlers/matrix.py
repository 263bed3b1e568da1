"""S of every method on every task as a table of coloured cells: rows of real data apart from mini rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from handlers.board import RANKED, Line
from handlers.checks import check_choice
from mubench.cards.leaderboard import Table

# Tiers by what their rows are.
DATA: dict[str, tuple[str, ...]] = {
    "real data": ("full", "partial"),
    "mini tasks": ("mini",),
    "own tasks": ("custom",),
}


def data_choices(lines: Sequence[Line]) -> list[str]:
    """Return the kinds of data that lines are about, real data first."""
    tiers = {line.row.tier for line in lines}
    return [name for name, found in DATA.items() if tiers & {*found}]


def render_matrix(lines: Sequence[Line], data: Any) -> str:
    """Return S by method and task, methods by their mean rank; controls are below.

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
    order = sorted(ranks, key=lambda name: (ranks[name], name))
    head = "".join(_head(table) for table in tables)
    body = "".join(_row(name, columns, ranks[name]) for name in order)
    body += "".join(_row(name, columns, None) for name in controls)
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


def _head(table: Table) -> str:
    row, place = table.row, f"{table.row.backbone}, {table.row.ratio} %"
    note = "no signal, not ranked" if table.no_signal else f"open the table of {row.task}"
    data = f'data-task="{escape(row.task)}" data-tier="{escape(row.tier)}" title="{escape(note)}"'
    return (
        f'<th scope="col"><button type="button" {data}>{escape(row.task)}<small>{escape(place)}</small></button></th>'
    )


def _row(name: str, columns: Sequence[Mapping[str, float | None]], rank: float | None) -> str:
    cells = []
    for column in columns:
        if (score := column.get(name)) is None:
            cells.append(f"<td>{'!' if name in column else '-'}</td>")
        else:
            cells.append(f'<td class="mu-heat" style="--s:{score:.2f}">{score:.2f}</td>')
    style = ' class="mu-control"' if rank is None else ""
    last = "<td></td>" if rank is None else f"<td>{rank:.1f}</td>"
    return f'<tr{style}><th scope="row">{escape(name)}</th>{"".join(cells)}{last}</tr>'
