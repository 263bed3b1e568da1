"""Comparison of finished runs: scores against the retrained models, losses by step, and a table of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from charts.lines import curves
from charts.ruler import Reading, ruler
from charts.scatter import Mark, scatter
from charts.tables import table

from handlers.outcome import metric_name, missing_retrained
from handlers.runs import FinishedRun, finished_run
from handlers.verdict import ENDS, table_of
from mubench.cards.leaderboard.formats import number
from mubench.cards.leaderboard.yardsticks import yardsticks
from mubench.hub_builders.utils.text import quote

STYLES = {"A": "mu-c1", "B": "mu-c2", "C": "mu-c3", "D": "mu-c4"}
SPLITS = ("forget", "retain", "test")
REFERENCES = {"retrained": "mu-retrained", "base": "mu-base"}


def chosen_runs(names: Any) -> list[FinishedRun]:
    """Return the runs to compare.

    Raises:
        ValueError: If there are none or too many, or one does not exist.
    """
    if not isinstance(names, list) or not 1 <= len(names) <= len(STYLES):
        got = len(names) if isinstance(names, list) else quote(names)
        raise ValueError(f"runs must be 1 to {len(STYLES)} names of finished runs, got {got}")
    return [finished_run(name) for name in names]


def render_scores(runs: Sequence[FinishedRun]) -> str:
    """Return the scores on forget and test rows of the runs, their bases, and all retrained models."""
    references = [
        Mark(model["forget"], model["test"], f"{name}, {run.request.task}", style)
        for run in runs
        for name, style in REFERENCES.items()
        for model in run.summary["scores"][name]
    ]
    found = {mark.style for mark in references}
    marks, key = [], {name: style for name, style in REFERENCES.items() if style in found}
    for (letter, style), run in zip(STYLES.items(), runs, strict=False):
        (score,) = run.summary["scores"]["this run"]
        marks.append(Mark(score["forget"], score["test"], letter, style, label=True))
        key[f"{letter}: {run.title}"] = style
    names = ("score on forget rows", "score on test rows")
    return scatter([*dict.fromkeys(references), *marks], names, key=key)  # runs may share reference models


def render_ruler(runs: Sequence[FinishedRun]) -> str:
    """Return S of the runs and their intervals on one ruler, with the yardsticks that all of them share."""
    readings, marks = [], []
    for (letter, style), run in zip(STYLES.items(), runs, strict=False):
        if run.row is None or run.row.interval is None:
            continue
        score, interval = run.row.metrics["score"].value, run.row.interval
        readings.append(Reading(letter, score, interval.low, interval.high, style))
        table = table_of(run.row)
        marks.append(yardsticks(table, None) if table else {})
    if not readings:
        return '<p class="mu-note">None of these runs has an S.</p>'
    shared = {name: score for name, score in marks[0].items() if all(one.get(name) == score for one in marks)}
    return ruler(readings, shared, ends=ENDS)


def render_losses(runs: Sequence[FinishedRun], split: str) -> str:
    """Return the loss on some rows of a split by step, as a share of all steps, since runs differ in length."""
    lines = {}
    for (letter, style), run in zip(STYLES.items(), runs, strict=False):
        points = [(point["step"] / max(point["steps"], 1), point[split]) for point in run.points if split in point]
        if points:
            lines[letter] = (style, points)
    return curves(lines, ("share of the steps", f"loss on {split} rows"))


def numbers(runs: Sequence[FinishedRun]) -> list[list[str]]:
    """Return the lines of a table: the name of a number, then its value for every run."""
    summaries = [run.summary for run in runs]
    lines = [["S", *map(_score, runs)]]
    own = [each["scores"]["this run"][0] for each in summaries]
    lines += [[f"score on {split} rows", *(f"{score[split]:.3f}" for score in own)] for split in SPLITS]
    retrained = [[model["forget"] for model in each["scores"]["retrained"]] for each in summaries]
    lines.append(["retrained on forget rows", *(f"{np.mean(each):.3f}" if each else "-" for each in retrained)])
    lines.append(
        ["loss attack, largest advantage", *(f"{_advantage(each['losses']['this run']):.3f}" for each in summaries)]
    )
    metrics = [{line["name"]: line["run"] for line in each["metrics"]} for each in summaries]
    for name in dict.fromkeys(name for each in metrics for name in each):
        lines.append([name, *(number(each.get(name), 3) for each in metrics)])
    lines.append(["seconds of training", *(f"{each['cost']['seconds']:.2f}" for each in summaries)])
    return lines


def _score(run: FinishedRun) -> str:
    row = run.row
    if row is None or row.interval is None:
        return "-"
    return f"{row.metrics['score'].value:.2f} ({row.interval.low:.2f} to {row.interval.high:.2f})"


def _advantage(losses: dict[str, Sequence[float]]) -> float:
    """Return the largest advantage of a threshold on the loss that separates forget from test rows."""
    forget, test = (np.sort(np.asarray(losses[split])) for split in ("forget", "test"))
    thresholds = np.concatenate([forget, test])
    shares = [np.searchsorted(part, thresholds, side="right") / len(part) for part in (forget, test)]
    return float(np.max(shares[0] - shares[1]))


def render_numbers(runs: Sequence[FinishedRun]) -> str:
    """Return the numbers as a table with one column per run."""
    head = [("number", "What is compared."), *((letter, run.title) for letter, run in zip(STYLES, runs, strict=False))]
    notes = dict.fromkeys(filter(None, map(missing_retrained, runs)))  # runs may share reference models
    lines = [[metric_name(name), *values] for name, *values in numbers(runs)]
    return "".join(notes) + table(head, lines, label="Comparison of runs")
