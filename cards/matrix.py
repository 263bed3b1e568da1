"""A matrix of S: methods by tasks, with the controls below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mubench.cards.entries import Entry
from mubench.cards.formats import LEGEND, number
from mubench.cards.leaderboard import Table
from mubench.hub_builders.utils.tables import align_columns
from mubench.trainers.evaluation.controls import CONTROLS

HALF = "retrain_keep50"


def as_matrix(tables: Sequence[Table]) -> str:
    """Return S of every method (lines) on every task (columns), and on how many tasks it exceeds the keep-50 control.

    A line is a method with the arguments that distinguish it; a cell is the mean over its runs, ``-`` for no run,
    ``!`` for one that is flagged or has no score. The controls are below, first the leave-one-out retrained models,
    which are the noise floor.

    Args:
        tables: Leaderboards, one per task, tier, family, ratio and backbone.

    Raises:
        ValueError: If there are none.
    """
    if not tables:
        raise ValueError("expected rows of results, got none")
    columns = [{_key(entry): entry for entry in (*table.entries, *table.controls)} for table in tables]
    every = {key: entry for column in columns for key, entry in column.items() if key not in CONTROLS}
    methods = sorted(every, key=lambda m: (every[m].oracle_selected, -_mean(m, columns), m))
    lines = [_line(key, columns) for key in (*methods, *CONTROLS)]
    heads = [chr(ord("A") + column) for column in range(len(tables))]
    names = [f"{head}  {table.title}; {table.standing}" for head, table in zip(heads, tables, strict=True)]
    return "\n".join([*names, "", *align_columns([("method", *heads, "above keep50"), *lines]), "", LEGEND[0]]) + "\n"


def _key(entry: Entry) -> str:
    """Return the name of a line; runs whose epoch the retrained models selected have a line of their own."""
    return entry.title if entry.oracle_selected else entry.name


def _mean(method: str, columns: Sequence[Mapping[str, Entry]]) -> float:
    scores = [column[method].score or 0.0 for column in columns if method in column]
    return float(np.mean(scores))


def _line(method: str, columns: Sequence[Mapping[str, Entry]]) -> tuple[str, ...]:
    cells = ["-" if method not in column else _cell(column[method]) for column in columns]
    above = sum(_above(column, method) for column in columns)
    return (method, *cells, str(above) if method not in CONTROLS else "")


def _cell(entry: Entry) -> str:
    valid = entry.rows[0].control or entry.oracle_selected or not entry.flags
    return "!" if entry.score is None or not valid else number(entry.score)


def _above(column: Mapping[str, Entry], method: str) -> bool:
    """Whether a method's S exceeds that of the model retrained with half of the forget rows."""
    if method not in column or HALF not in column:
        return False
    score, half = column[method].score, column[HALF].score
    return not column[method].flags and score is not None and half is not None and score > half
