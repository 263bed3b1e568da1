"""Groups result rows into tables, and orders the lines of each."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from mubench.cards.leaderboard.entries import Entry, make_entry
from mubench.cards.leaderboard.line_names import name_lines
from mubench.cards.leaderboard.ranks import rank_methods
from mubench.cards.leaderboard.reference_check import check_references
from mubench.cards.leaderboard.table import CurvePoint, Table
from mubench.trainers.evaluation.controls import CONTROLS
from mubench.trainers.evaluation.result import Result

# Tiers by how much their rows tell.
TIERS_BY_DATA = ("full", "partial", "mini", "custom")
_encode = json.JSONEncoder(sort_keys=True).encode


def tables(rows: Iterable[Result], **folders: object) -> list[Table]:
    """Group rows into tables, and rank each by the lower end of S.

    The folders ``data``, ``models`` and ``results`` are those of the command in an error message.

    Raises:
        ValueError: If rows of one table were judged against different references.
    """
    return [make_table(group, **folders) for group in group_rows(rows)]


def group_rows(rows: Iterable[Result]) -> list[list[Result]]:
    """Return the rows of every table, in the order of the tables."""
    groups: dict[tuple[object, ...], list[Result]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: r.run_id):
        groups[setting_of(row)].append(row)
    return [groups[key] for key in sorted(groups, key=lambda key: (TIERS_BY_DATA.index(str(key[1])), str(key)))]


def setting_of(row: Result) -> tuple[object, ...]:
    """Return what all rows of a table have in common."""
    data = (row.task, row.tier, row.family, row.deletion_seed, row.ratio)
    return (*data, row.backbone, row.split, row.eval_seed, row.score_version)


def make_table(rows: Sequence[Result], **folders: object) -> Table:
    """Return the table of a group of rows; arguments and errors are those of `tables`."""
    row = check_references(rows, folders)
    lines = _group_lines(rows)
    entries = list(map(make_entry, name_lines(lines), lines))
    controls = [entry for entry in entries if entry.rows[0].control]
    methods = [entry for entry in entries if not entry.rows[0].control]
    return Table(
        row=row,
        no_signal=row.no_signal,
        entries=rank_methods(methods, has_signal=not row.no_signal),
        controls=_order_controls(controls),
        curve=_curve(controls),
    )


def _group_lines(rows: Sequence[Result]) -> list[list[Result]]:
    """Return the rows of every line: runs of one method with the same arguments, recipe and kind of base model."""
    groups: dict[str, list[Result]] = defaultdict(list)
    for row in rows:
        foreign_parent = None if row.parent in row.references.identities else row.parent
        key = [row.control, row.method, row.arguments, row.recipe, foreign_parent, row.outputs_only, row.method_file]
        groups[_encode(key)].append(row)
    return list(groups.values())


def _order_controls(controls: Sequence[Entry]) -> tuple[Entry, ...]:
    order = {name: position for position, name in enumerate(CONTROLS)}
    return tuple(sorted(controls, key=lambda e: (order.get(e.rows[0].method, len(order)), e.passes or 0, e.name)))


def _curve(controls: Sequence[Entry]) -> tuple[CurvePoint, ...]:
    """Return the points of no passes, of retraining for parts of the recipe's passes, and of all of them."""
    parts = [e for e in controls if e.rows[0].method in ("retrain_at", "retrain") and e.score is not None and e.passes]
    if not any(entry.rows[0].method == "retrain_at" for entry in parts):
        return ()
    points = [CurvePoint(entry.passes or 0.0, entry.score or 0.0, entry.draws) for entry in parts]
    start = CurvePoint(0.0, 0.0, np.zeros_like(points[0].draws))
    return (start, *sorted(points, key=lambda point: (point.passes, point.score)))
