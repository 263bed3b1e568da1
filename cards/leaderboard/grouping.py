"""Ranks result rows into the tables of the terminal, the results card, the picture and the Space."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Lock

from mubench.cards.leaderboard.entries import Entry, beats, make_entry
from mubench.cards.leaderboard.line_names import name_lines
from mubench.cards.leaderboard.reference_check import check_references
from mubench.cards.leaderboard.table import Table
from mubench.trainers.evaluation.controls import CONTROLS
from mubench.trainers.evaluation.result import (
    Result,
    paused_collector,
    read_result,
    read_results,
)

# Every method on every mini task, written by `make matrix`, and the rows of real data, written by `make results-real`.
SHIPPED = Path(__file__).parents[1] / "results"
# Tiers by how much their rows tell.
TIERS_BY_DATA = ("full", "partial", "mini", "custom")
_encode = json.JSONEncoder(sort_keys=True).encode


def rank_lines(entries: Iterable[Entry]) -> list[Entry]:
    """Order by rank, then by the lower end of S.

    The line with the highest lower end has rank 1, and so has every line that it does not beat (`beats`); of the
    others, the next rank goes to the highest lower end in the same way.
    """
    result: list[Entry] = []
    left = sorted(entries, key=lambda entry: (-(entry.low or 0), -(entry.score or 0), entry.name))
    while left:
        shared = [entry for entry in left if not beats(left[0].draws, entry.draws)]
        left = [entry for entry in left if entry not in shared]
        rank = len(result) + 1
        result += [replace(entry, rank=rank) for entry in shared]
    return result


def _table(rows: Sequence[Result], folders: Mapping[str, object]) -> Table:
    shared = check_references(rows, folders)
    groups: dict[str, list[Result]] = defaultdict(list)
    for row in rows:
        foreign_parent = None if row.parent in row.references.identities else row.parent
        key = [row.control, row.method, row.arguments, row.recipe, foreign_parent, row.outputs_only, row.method_file]
        groups[_encode(key)].append(row)
    lines = list(groups.values())
    entries = list(map(make_entry, name_lines(lines), lines))
    methods = [entry for entry in entries if not entry.rows[0].control]
    rankable = [entry for entry in methods if entry.score is not None and not shared.no_signal]
    models, outputs = ([e for e in rankable if e.rows[0].outputs_only is only] for only in (False, True))
    scored, oracle = [e for e in models if not e.flags], [e for e in models if e.oracle_selected]
    tables_only = [e for e in outputs if not e.flags]
    unranked = [entry for entry in methods if entry not in (*scored, *oracle, *tables_only)]
    ranked = [entry for lines in (scored, oracle, tables_only) for entry in rank_lines(lines)]
    order = {name: position for position, name in enumerate(CONTROLS)}
    controls = [entry for entry in entries if entry.rows[0].control]
    return Table(
        row=shared,
        no_signal=shared.no_signal,
        entries=(*ranked, *sorted(unranked, key=lambda e: e.name)),
        controls=tuple(
            sorted(controls, key=lambda e: (order.get(e.rows[0].method, len(order)), e.passes or 0, e.name))
        ),
        curve=_curve(controls),
    )


def _curve(controls: Sequence[Entry]) -> tuple[tuple[float, float], ...]:
    """Return cost and S of nothing, of retraining for parts of the recipe's passes, and of all of it."""
    parts = [e for e in controls if e.rows[0].method in ("retrain_at", "retrain") and e.score is not None and e.passes]
    if not any(entry.rows[0].method == "retrain_at" for entry in parts):
        return ()
    return ((0.0, 0.0), *sorted((entry.passes or 0.0, entry.score or 0.0) for entry in parts))


def tables(rows: Iterable[Result], **folders: object) -> list[Table]:
    """Group rows into tables, and rank each by the lower end of S.

    The folders ``data``, ``models`` and ``results`` are those of the command in an error message.

    Raises:
        ValueError: If rows of one table were judged against different references.
    """
    return [_table(group, folders) for group in _group(rows)]


def _group(rows: Iterable[Result]) -> list[list[Result]]:
    """Return the rows of every table, in the order of the tables."""
    groups: dict[tuple[object, ...], list[Result]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: r.run_id):
        place = (row.task, row.tier, row.family, row.deletion_seed, row.ratio, row.backbone, row.split, row.eval_seed)
        groups[*place, row.score_version].append(row)
    return [groups[key] for key in sorted(groups, key=lambda key: (TIERS_BY_DATA.index(str(key[1])), str(key)))]


class ResultFolder:
    """The tables of a folder of result rows: a file is read once, and a table ranked again once its rows change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows: dict[tuple[str, int, int], Result] = {}
        self._tables: dict[tuple[int, ...], Table] = {}
        self._lock = Lock()  # callers at one time wait for one computation

    def tables(self) -> tuple[Table, ...]:
        """Return the tables of the rows that the folder has now; none where there is no folder.

        Raises:
            ValueError: If a row is damaged, or rows of one table were judged against different references.
        """
        with self._lock:
            files = self._files()
            if files != list(self._rows):
                with paused_collector():
                    self._update(files)
            return tuple(self._tables.values())

    def _files(self) -> list[tuple[str, int, int]]:
        """Return path, time and size of every row's file."""
        if not self.folder.is_dir():
            return []
        found = [(entry.path, entry.stat()) for entry in os.scandir(self.folder) if entry.name.endswith(".json")]
        return sorted((path, stat.st_mtime_ns, stat.st_size) for path, stat in found)

    def _update(self, files: Sequence[tuple[str, int, int]]) -> None:
        rows = {file: self._rows.get(file) or read_result(file[0]) for file in files}
        # Rows that stay are the same objects.
        groups = {tuple(map(id, group)): group for group in _group(rows.values())}
        known = self._tables
        self._tables = {key: known.get(key) or _table(group, {}) for key, group in groups.items()}
        self._rows = rows


@cache
def shipped_tables() -> tuple[Table, ...]:
    """Return the ranked tables of the shipped rows.

    Raises:
        FileNotFoundError: If the suite comes without them.
        ValueError: If one of them is damaged, or rows of one table do not go together.
    """
    return tuple(tables(read_results(SHIPPED), results=SHIPPED))
