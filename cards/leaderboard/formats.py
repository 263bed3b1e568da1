"""A leaderboard as text for the terminal, as markdown, or as a matrix of S: methods by tasks, controls below."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mubench.cards.leaderboard.entries import ONE_SEED_SPREAD, Entry
from mubench.cards.leaderboard.table import Table
from mubench.hub_builders.utils.tables import align_columns, escape_markdown, markdown_table
from mubench.trainers.evaluation.audit import weak_metrics
from mubench.trainers.metrics import METRICS

HEAD = (
    "rank", "method", "seeds", "S", "95 % interval", "row", "mean", "memb.", "util.", "shift.", "gap", "KL", "time",
    "passes", "useful",
)  # fmt: skip
LEGEND = (
    "S: 1 = retrained, 0 = untouched or destroyed; higher is better. Ranked by the lower end of its 95 % interval;",
    "lines that a paired bootstrap over rows, models and seeds cannot tell from the first of their rank share it.",
    "The spread of few seeds is pooled with the largest measured, "
    f"{ONE_SEED_SPREAD:.2f}; runs of one base model of several are one seed.",
    "A run prints its interval without this spread. * provisional.",
    "Parts of S, 0 = retrained, 1 = base, lower is better: row (forget rows one by one), mean (mean forget score),",
    "memb. (strongest membership attack), util. (score lost on retain, test or ood rows). For comparison, lower is",
    "better: shift. (row on slightly changed inputs, where a task has them and a signal), gap (mean distance of",
    "averages to retrained; can be cheated), KL to retrained in nats.",
    "time, passes (forward + 2 backward examples): training cost as a share of retraining's, lower is better.",
    "useful: whether S is above S of retraining for as many passes, between retrain_at controls. yes: the whole",
    "interval of the difference is above 0; maybe: S is above, but not the whole interval.",
    "Lines marked oracle_selection kept the epoch nearest to the retrained models; they rank among themselves.",
    "Controls are never ranked: retrain is each retrained model judged against the others; flip_cheat and",
    "quantile_cheat are outputs without a model, made to cheat S.",
)
# The metrics in columns whose heads are not their keys.
COLUMNS = {"S": "score", "memb.": "membership", "util.": "utility", "shift.": "row_shifted", "KL": "kl_retrained"}
WEAK = (
    "Weak by the audit of the metrics, so that none of them alone shows that a model has forgotten: {}. S stands all "
    "the same: it joins its parts, so that one catches what another misses, and passes the audit itself."
)
_MISSING = "-"
_HALF = "retrain_keep50"


def number(value: float | None, digits: int = 2) -> str:
    """Return a number as text, or a dash."""
    # Adding 0 turns -0.00 into 0.00.
    return _MISSING if value is None else f"{round(value, digits) + 0:.{digits}f}"


def cells(entry: Entry, table: Table | None) -> tuple[str, ...]:
    """Return one line as strings, in the order of ``HEAD``; without its table it is not compared with others."""
    rank = _MISSING if entry.rank is None else f"{entry.rank}{'*' if entry.rows[0].provisional else ''}"
    rank += " apart" if entry.rank and (entry.oracle_selected or entry.rows[0].outputs_only) else ""
    ends = _MISSING if entry.low is None else f"{number(entry.low)} to {number(entry.high)}"
    numbers = map(number, (*entry.metrics.values(), entry.seconds, entry.passes))
    useful = (table.usefulness(entry) if table else None) or _MISSING
    return (rank, entry.title, entry.seeds, number(entry.score), ends, *numbers, useful)


def _lines(table: Table) -> list[tuple[str, ...]]:
    """Return the head and every line of a table, with the metrics that its task reports at the end."""
    names = table.reported
    lines = [
        (*cells(entry, table), *(number(entry.reported[name]) for name in names))
        for entry in (*table.entries, *table.controls)
    ]
    return [(*HEAD, *names), *lines]


def is_weak(head: str) -> bool:
    """Whether the shipped audit calls a column's metric weak."""
    return COLUMNS.get(head, head) in weak_metrics()


def legend(tables: Iterable[Table]) -> list[str]:
    """Return the lines that explain tables: their columns, what weak means, and the metrics that tasks report."""
    shown = list(tables)
    columns = dict.fromkeys((*HEAD, *(name for table in shown for name in table.reported)))
    weak = textwrap.wrap(WEAK.format(", ".join(filter(is_weak, columns))), 119) if any(map(is_weak, columns)) else []
    return [*LEGEND, *weak, *reported_legend(shown)]


def reported_legend(tables: Iterable[Table]) -> list[str]:
    """Return what the reported metrics of the tables mean, one line each."""
    names = dict.fromkeys(name for table in tables for name in table.reported)
    return [f"{name}: {METRICS[name].title} (better: {METRICS[name].better})." for name in names]


def as_text(tables: Iterable[Table]) -> str:
    """Return the tables and the legend for a terminal."""
    blocks = []
    shown = list(tables)
    for table in shown:
        head, *lines = align_columns(_lines(table), left=(1,))
        ranked, controls = lines[: len(table.entries)], lines[len(table.entries) :]
        rule = "-" * max(map(len, (head, *lines)))
        block = [table.title, table.standing, *filter(None, [table.caveat]), rule, head, rule, *ranked]
        blocks.append("\n".join([*block, "controls (unranked)".center(len(rule), "."), *controls, rule]))
    return "\n\n".join([*blocks, "\n".join(legend(shown))]) + "\n"


def as_markdown(table: Table) -> str:
    """Return one table in markdown, without title and legend."""
    head, *rows = _lines(table)
    head = tuple(f"{name} (weak)" if is_weak(name) else name for name in head)
    ranked = len(table.entries)
    lines = [(rank, escape_markdown(name), *rest) for rank, name, *rest in rows[:ranked]]
    lines += [(rank, f"*{escape_markdown(name)}*", *rest) for rank, name, *rest in rows[ranked:]]
    return markdown_table(head, lines, left=(HEAD.index("method"),))


def as_matrix(tables: Sequence[Table]) -> str:
    """Return S of every method (lines) on every task (columns), and on how many tasks it exceeds the keep-50 control.

    Custom tasks have a matrix of their own.

    A line is a method with the arguments that distinguish it; a cell is the mean over its runs, ``-`` for no run,
    ``!`` for one that is flagged or has no score. The controls are below, first the leave-one-out retrained models,
    which are the noise floor.

    Raises:
        ValueError: If there are none.
    """
    if not tables:
        raise ValueError("expected rows of results, got none")
    own = [table for table in tables if table.row.tier == "custom"]
    if own and (others := [table for table in tables if table not in own]):
        return f"{as_matrix(others)}\n{as_matrix(own)}"
    columns = [
        {entry.title if entry.oracle_selected else entry.name: entry for entry in (*table.entries, *table.controls)}
        for table in tables
    ]
    every = {key: entry for column in columns for key, entry in column.items()}
    controls = {entry.name: None for table in tables for entry in table.controls}
    methods = sorted(
        every.keys() - controls.keys(), key=lambda m: (every[m].oracle_selected, -_mean_score(m, columns), m)
    )
    lines = [_line(key, columns) for key in (*methods, *controls)]
    heads = [chr(ord("A") + column) for column in range(len(tables))]
    names = [f"{head}  {table.title}; {table.standing}" for head, table in zip(heads, tables, strict=True)]
    return (
        "\n".join([*names, "", *align_columns([("method", *heads, "above keep50"), *lines]), "", *LEGEND[:3]]) + "\n"
    )


def _mean_score(method: str, columns: Sequence[Mapping[str, Entry]]) -> float:
    return float(np.mean([column[method].score or 0.0 for column in columns if method in column]))


def _line(method: str, columns: Sequence[Mapping[str, Entry]]) -> tuple[str, ...]:
    scores = [_MISSING if method not in column else _score(column[method]) for column in columns]
    above = sum(_is_above(column, method) for column in columns)
    is_control = any(method in column and column[method].rows[0].control for column in columns)
    return (method, *scores, "" if is_control else str(above))


def _score(entry: Entry) -> str:
    valid = entry.rows[0].control or entry.oracle_selected or not entry.flags
    return "!" if entry.score is None or not valid else number(entry.score)


def _is_above(column: Mapping[str, Entry], method: str) -> bool:
    """Whether a method's S exceeds that of the model retrained with half of the forget rows."""
    entry, half = column.get(method), column.get(_HALF)
    if entry is None or half is None or entry.score is None or half.score is None:
        return False
    return not entry.flags and entry.score > half.score
