"""Result rows in, ranked tables out. What the terminal, the results card, the picture and the Space show."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mubench.cards.entries import Entry, beats, make_entry
from mubench.hub_builders.tasks.names import DATASET, family_location
from mubench.hub_builders.utils.hints import target
from mubench.trainers.evaluation.controls import CONTROLS
from mubench.trainers.evaluation.result import ENOUGH_BASES, ENOUGH_RETRAINED, Result


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """All lines of one (tier, task, family, deletion seed, ratio, split, backbone, evaluation seed).

    Attributes:
        row: Any of the rows that were judged against all references; it has what the table has in common.
        no_signal: Why nothing is ranked, or ``None``.
        entries: Ranked lines, then those that rank apart, then those that do not rank.
        controls: Controls, in the order of ``CONTROLS``.
    """

    row: Result
    no_signal: str | None
    entries: tuple[Entry, ...]
    controls: tuple[Entry, ...]

    @property
    def title(self) -> str:
        """Say what was deleted from what."""
        row = self.row
        seed = f", deletion seed {row.deletion_seed}" if row.deletion_seed else ""
        drawn = f", evaluation seed {row.eval_seed}" if row.eval_seed else ""
        return f"{row.task} ({row.tier}), {row.backbone}: {row.ratio} % deleted, {row.family} family{seed}{drawn}"

    @property
    def standing(self) -> str:
        """Say what the ranks are worth."""
        row = self.row
        against = f"judged against {row.reference_counts}"
        if self.no_signal:
            return f"{against}; NOT RANKED, {self.no_signal}"
        if row.provisional:
            return f"{against}; PROVISIONAL, ranks count from {ENOUGH_RETRAINED} and {ENOUGH_BASES} on"
        return against


def _names(groups: Sequence[Sequence[Result]]) -> list[str]:
    """Name each group after its method, and after the arguments that tell it from others of the same method."""
    names = []
    for rows in groups:
        first = rows[0]
        kin = [other[0].arguments for other in groups if other[0].method == first.method]
        differing = [k for k in sorted(first.arguments) if any(a.get(k) != first.arguments[k] for a in kin)]
        words = [first.method, *(f"{k}={first.arguments[k]}" for k in differing)]
        names.append(" ".join(words if first.tuned == "default" else [*words, f"({first.tuned})"]))
    return names


def _ranked(entries: Iterable[Entry]) -> list[Entry]:
    """Order by the lower end; a line that its group's first does not beat shares that one's rank."""
    result: list[Entry] = []
    leader: Entry | None = None
    for place, entry in enumerate(sorted(entries, key=lambda e: (-(e.low or 0), -(e.score or 0), e.name)), start=1):
        if leader is None or leader.rank is None or beats(leader.draws, entry.draws):
            leader = replace(entry, rank=place)
            result.append(leader)
        else:
            result.append(replace(entry, rank=leader.rank))
    return result


def _common(rows: Sequence[Result], place: Mapping[str, object]) -> Result:
    """Return a row with the table's references, after checking that all rows share them."""
    whole = [row for row in rows if row.method != "retrain"] or list(rows)
    for row in whole:
        if row.references != whole[0].references:
            raise ValueError(
                f"expected {row.run_id!r} to be judged against the models of {whole[0].run_id!r}, got others; "
                f"judge it again with: {_judging(row, place)}, or remove the row if its model is gone"
            )
    return whole[0]


def _judging(row: Result, place: Mapping[str, object]) -> str:
    data = family_location(str(place.get("data", DATASET)), row.family, row.deletion_seed)
    group = {"task": row.task, "ratio": row.ratio, "backbone": row.backbone, "family": row.family}
    group |= {"eval_seed": row.eval_seed}
    return target("results", **group, data=data, models=place.get("models"), results=place.get("results"))


def _start(row: Result) -> str | None:
    """Tell runs from another start apart: the parent, unless it is one of the base models the table is about."""
    return None if row.parent is None or row.parent in row.references.identities else row.parent


def _table(rows: Sequence[Result], place: Mapping[str, object]) -> Table:
    common = _common(rows, place)
    groups: dict[str, list[Result]] = defaultdict(list)
    for row in rows:
        groups[json.dumps([row.control, row.method, row.arguments, row.recipe, _start(row)], sort_keys=True)].append(
            row
        )
    lines = list(groups.values())
    entries = [make_entry(name, group) for name, group in zip(_names(lines), lines, strict=True)]
    tried = [entry for entry in entries if not entry.rows[0].control]
    scored = [entry for entry in tried if entry.score is not None and not common.no_signal]
    ranks, apart = [e for e in scored if not e.flags], [e for e in scored if e.apart]
    rest = [entry for entry in tried if entry not in (*ranks, *apart)]
    order = list(CONTROLS)
    controls = [entry for entry in entries if entry.rows[0].control]
    controls.sort(key=lambda e: (order.index(e.rows[0].method) if e.rows[0].method in order else len(order), e.name))
    return Table(
        row=common,
        no_signal=common.no_signal,
        entries=(*_ranked(ranks), *_ranked(apart), *sorted(rest, key=lambda e: e.name)),
        controls=tuple(controls),
    )


def tables(rows: Iterable[Result], **place: object) -> list[Table]:
    """Group rows into tables and rank each by the lower end of S.

    Args:
        rows: Rows of any task, ratio and method.
        **place: Folders ``data``, ``models`` and ``results``, for the command in an error; the usual ones by default.

    Raises:
        ValueError: If rows of one table were judged against different references.
    """
    groups: dict[tuple[object, ...], list[Result]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: r.run_id):
        key = (row.task, row.tier, row.family, row.deletion_seed, row.ratio, row.backbone, row.split, row.eval_seed)
        groups[key].append(row)
    return [_table(groups[key], place) for key in sorted(groups, key=str)]
