"""Dataset bias on real rows: what lines lose on ood rows beside retrained models, and where groups were deleted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mubench.cards.leaderboard import Table
from mubench.cards.leaderboard.entries import Array, Entry
from mubench.cards.leaderboard.formats import number
from mubench.cards.report.analyses import REAL
from mubench.cards.report.seed_differences import DIGITS, Difference, seed_values, subtract
from mubench.hub_builders.utils.tables import escape_markdown, markdown_table

HEAD = ("line", "test", "ood", "gap", "gap beside retrained models'")
LEGEND = (
    "gap: task score on test rows less that on ood rows, means over seeds. The last column is the difference to the "
    "mean gap of retrained models, with its 95 % interval over seeds: by chance alone, one line in 40 is above 0. A "
    "model that has lost its score on test rows has a small gap too."
)


@dataclass(frozen=True)
class Line:
    """A line of a table on ood rows.

    Attributes:
        name: Its name.
        is_control: Whether it is that of the base or retrained models.
        test: Mean task score on test rows.
        ood: The same on ood rows.
        gaps: The first less the second, by seed, ``(K,)``.
        beside: Mean gap less that of the retrained models.
    """

    name: str
    is_control: bool
    test: float
    ood: float
    gaps: Array
    beside: Difference


@dataclass(frozen=True)
class Bias:
    """Scores of a table on ood rows.

    Attributes:
        title: Title of the table.
        lines: Its methods in their order, then the base and the retrained models.
        retrained: Gaps of the retrained models, by seed, ``(K,)``.
    """

    title: str
    lines: tuple[Line, ...]
    retrained: Array


def find_biases(tables: Iterable[Table]) -> list[Bias]:
    """Return the lines on ood rows of every table of real rows that has them, of retrained models too."""
    return [found for table in tables if table.row.tier in REAL and (found := _bias(table))]


def _bias(table: Table) -> Bias | None:
    controls = {entry.rows[0].method: entry for entry in table.controls if _has_ood(entry)}
    if "retrain" not in controls:
        return None
    references = [controls[name] for name in ("base", "retrain") if name in controls]
    shown, retrained = (*filter(_has_ood, table.entries), *references), _gaps(controls["retrain"])
    return Bias(table.title, tuple(_line(entry, retrained) for entry in shown), retrained)


def _has_ood(entry: Entry) -> bool:
    return all({"test_score", "ood_score"} <= row.metrics.keys() for row in entry.rows)


def _gaps(entry: Entry) -> Array:
    gaps: Array = seed_values(entry, "test_score") - seed_values(entry, "ood_score")
    return gaps


def _line(entry: Entry, retrained: Array) -> Line:
    test, ood = (float(np.mean(seed_values(entry, name))) for name in ("test_score", "ood_score"))
    gaps = _gaps(entry)
    return Line(entry.title, entry.rows[0].control, test, ood, gaps, subtract(gaps, retrained))


def as_markdown(tables: Sequence[Table]) -> str:
    """Return a table of scores for every table with ood rows, and where the effect of deleting groups is shown."""
    biases = find_biases(tables)
    parts = [LEGEND, *map(_table, biases)] if biases else ["No real rows have scores on ood rows."]
    return "\n\n".join([*parts, group_effects(tables)])


def _table(bias: Bias) -> str:
    return f"**Ood rows**: {bias.title}\n\n{markdown_table(HEAD, map(_cells, bias.lines))}\n\n{summary(bias)}"


def _cells(line: Line) -> tuple[str, ...]:
    numbers = [number(one, DIGITS) for one in (line.test, line.ood, float(np.mean(line.gaps)))]
    name = escape_markdown(line.name)
    # Retrained models are not compared with themselves.
    return (f"*{name}*" if line.is_control else name, *numbers, "-" if line.name == "retrain" else str(line.beside))


def summary(bias: Bias) -> str:
    """Return in how many methods' lines the gap is wider than retrained models', and in how many it is narrower."""
    lines = [line for line in bias.lines if not line.is_control]
    wider = [line.name for line in lines if line.beside.low > 0]
    narrower = [line.name for line in lines if line.beside.high < 0]
    mean, deviation = float(np.mean(bias.retrained)), float(np.std(bias.retrained, ddof=1))
    spread = f"{number(mean, DIGITS)}, SD {number(deviation, DIGITS)}"
    return (
        f"The gap is wider than that of the {len(bias.retrained)} retrained models ({spread}) in "
        f"{_count(wider, lines)}, and narrower in {_count(narrower, lines)}; the others cannot be told from it."
    )


def _count(names: Sequence[str], lines: Sequence[Line]) -> str:
    listed = f" ({', '.join(map(escape_markdown, names))})" if names else ""
    return f"{len(names)} of {len(lines)} lines{listed}"


def group_effects(tables: Iterable[Table]) -> str:
    """Return which tasks have real rows of both deletion families, or that none has."""
    families: dict[str, set[str]] = defaultdict(set)
    for table in tables:
        if table.row.tier in REAL:
            families[table.row.task].add(table.row.family)
    both = sorted(task for task, found in families.items() if len(found) > 1)
    if both:
        return f"Group effects: see the analyses of the deletion family, of {', '.join(both)}."
    return (
        f"Group effects: no task has real rows of both deletion families ({_listed(families)}), so that the effect of "
        "deleting whole groups cannot be separated from that of the task."
    )


def _listed(families: Mapping[str, set[str]]) -> str:
    names = sorted({name for found in families.values() for name in found})
    tasks = {name: sorted(task for task, found in families.items() if name in found) for name in names}
    return "; ".join(f"{name}: {', '.join(found)}" for name, found in tasks.items())
