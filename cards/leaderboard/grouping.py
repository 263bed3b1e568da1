"""Ranks result rows into the tables of the terminal, the results card, the picture and the Space."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np

from mubench.cards.leaderboard.entries import Entry, beats, group_by_seed, make_entry
from mubench.cards.leaderboard.line_names import name_lines
from mubench.hub_builders.tasks.names import DATASET, family_location
from mubench.hub_builders.utils.hints import command
from mubench.trainers.evaluation.controls import CONTROLS
from mubench.trainers.evaluation.result import (
    ENOUGH_BASES,
    ENOUGH_RETRAINED,
    Result,
    paused_collector,
    read_result,
    read_results,
)
from mubench.trainers.metrics.score import SCORE_VERSION

# Every method on every mini task, written by `make matrix`, and the rows of real data, written by `make results-real`.
SHIPPED = Path(__file__).parents[1] / "results"
# Tiers by how much their rows tell.
TIERS_BY_DATA = ("full", "partial", "mini", "custom")
CAVEATS: dict[str, str] = {
    "mini": "Rows of tier mini show that things run; their ranks are no result.",
    "custom": "Rows of tier custom are of a custom task, and rank apart from those of the suite.",
}
DIGITS = 2  # of S in tables
_encode = json.JSONEncoder(sort_keys=True).encode


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """All lines of one (tier, task, family, deletion seed, ratio, split, backbone, evaluation seed, version of S).

    Attributes:
        row: One of the rows that were judged against all references; it has the setting and references of the table.
        no_signal: Why nothing is ranked, or ``None``.
        entries: Ranked lines, then those that rank among themselves (epochs selected by the retrained models; tables
            of outputs without a model), then unranked ones.
        controls: Controls, in the order of ``CONTROLS``.
        curve: Cost and S of retraining for a part of the recipe's passes, by cost; empty without such controls.
    """

    row: Result
    no_signal: str | None
    entries: tuple[Entry, ...]
    controls: tuple[Entry, ...]
    curve: tuple[tuple[float, float], ...] = ()

    def usefulness(self, entry: Entry) -> Literal["yes", "maybe", "no"] | None:
        """Return whether S of a line is above that of retraining at its cost; ``None`` where that is unknown.

        ``yes``: its whole interval is; ``maybe``: S is, as printed, but not the interval. The curve has no interval.
        """
        if entry.score is None or entry.passes is None or entry.rows[0].control:
            return None
        retraining = self.retraining_at(entry.passes)
        if retraining is None:
            return None
        if round(entry.score, DIGITS) <= round(retraining, DIGITS):
            return "no"
        return "yes" if (entry.low or 0.0) > retraining else "maybe"

    def retraining_at(self, passes: float) -> float | None:
        """Return S of retraining for a share of the recipe's passes, between the controls; ``None`` without them."""
        if not self.curve:
            return None
        costs, scores = zip(*self.curve, strict=True)
        return float(np.interp(passes, costs, scores))

    @property
    def title(self) -> str:
        """Task, tier, backbone, ratio, family and seeds."""
        row = self.row
        seed = f", deletion seed {row.deletion_seed}" if row.deletion_seed else ""
        evaluation = f", evaluation seed {row.eval_seed}" if row.eval_seed else ""
        version = "" if row.score_version == SCORE_VERSION else f", S of version {row.score_version}"
        deleted = f"{row.ratio} % deleted, {row.family} family"
        return f"{row.task} ({row.tier}), {row.backbone}: {deleted}{seed}{evaluation}{version}"

    @property
    def reported(self) -> tuple[str, ...]:
        """The metrics that the task reports beside S and a row carries."""
        lines = (*self.entries, *self.controls)
        return tuple(name for name in lines[0].reported if any(entry.reported[name] is not None for entry in lines))

    @property
    def seeds(self) -> str:
        """Number of seeds behind S of its lines, in words."""
        lines = [entry for entry in self.entries if entry.score is not None] or self.entries or self.controls
        counts = {len(group_by_seed(entry.rows)) for entry in lines}
        return "one seed" if counts == {1} else f"{'-'.join(map(str, sorted({min(counts), max(counts)})))} seeds"

    @property
    def caveat(self) -> str:
        """Caveat about rows of its tier; empty if there is none."""
        return CAVEATS.get(self.row.tier, "")

    @property
    def standing(self) -> str:
        """The reference models, the seeds of its lines, and whether ranks are provisional or missing."""
        row = self.row
        judged = f"judged against {row.reference_counts}, each S on {self.seeds}"
        if self.no_signal:
            return f"{judged}; NOT RANKED, {self.no_signal}"
        if row.provisional:
            return f"{judged}; PROVISIONAL, ranks count from {ENOUGH_RETRAINED} and {ENOUGH_BASES} on"
        return judged


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


def _check_references(rows: Sequence[Result], folders: Mapping[str, object]) -> Result:
    """Return a row with the references of the table, after checking that all rows have the same, and their outputs."""
    first = next((row for row in rows if row.method != "retrain"), rows[0])
    for row in rows:
        if not _same_references(row, first):
            same = row.method == "retrain" or row.references.identities == first.references.identities != []
            raise ValueError(
                f"expected {row.run_id!r} to be judged against the models of {first.run_id!r}, got "
                f"{'other outputs of them, as of another machine' if same else 'others'}; "
                f"judge it again with: {_judge_command(row, folders)}, or remove the row if its model is gone"
            )
    return first


def _same_references(row: Result, first: Result) -> bool:
    """Whether two rows were judged against the same outputs; a retrained model against those of the others."""
    if row.method != "retrain" or row is first:
        return row.references == first.references
    own, whole = ({*one.references.outputs, *filter(None, [one.outputs])} for one in (row, first))
    return own <= whole and bool(row.references.outputs) == bool(first.references.outputs)


def _judge_command(row: Result, folders: Mapping[str, object]) -> str:
    data = family_location(str(folders.get("data", DATASET)), row.family, row.deletion_seed)
    group = {"task": row.task, "ratio": row.ratio, "backbone": row.backbone, "family": row.family}
    group |= {"eval_seed": row.eval_seed}
    return command("sweep", **group, data=data, models=folders.get("models"), results=folders.get("results"))


def _table(rows: Sequence[Result], folders: Mapping[str, object]) -> Table:
    shared = _check_references(rows, folders)
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
