"""Finished runs side by side: against the cloud of retrained models, step by step, and number by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from charts.lines import curves
from charts.scatter import Mark, scatter
from charts.tables import table

from handlers.checks import shown
from handlers.runs import Finished, finished

MOST = 4
STYLES = ("mu-c1", "mu-c2", "mu-c3", "mu-c4")
LETTERS = "ABCD"


def chosen_runs(names: Any) -> list[Finished]:
    """Return the runs to compare.

    Raises:
        ValueError: If there are none or too many, or one is not there.
    """
    if not isinstance(names, list) or not 1 <= len(names) <= MOST:
        got = len(names) if isinstance(names, list) else shown(names)
        raise ValueError(f"runs must be 1 to {MOST} names of finished runs, got {got}")
    return [finished(name) for name in names]


def _advantage(model: dict[str, Sequence[float]]) -> float:
    """Return the largest advantage that a threshold on the loss has, forget against test rows."""
    forget, test = (np.sort(np.asarray(model[split])) for split in ("forget", "test"))
    limits = np.concatenate([forget, test])
    shares = [np.searchsorted(part, limits, side="right") / len(part) for part in (forget, test)]
    return float(np.max(shares[0] - shares[1]))


def cloud(runs: Sequence[Finished]) -> str:
    """Return the scores on forget and test rows of the runs, of their bases, and of all retrained models."""
    marks, seen = [], set()
    for letter, style, run in zip(LETTERS, STYLES, runs, strict=False):
        scores = run.shown["scores"]
        for name, kind in (("retrained", "mu-retrained"), ("base", "mu-base")):
            for model in scores[name]:
                mark = Mark(model["forget"], model["test"], f"{name}, {run.request.task}", kind)
                if mark not in seen:
                    marks.append(mark)
                    seen.add(mark)
        own = scores["this run"][0]
        marks.append(Mark(own["forget"], own["test"], letter, style, label=True))
    key = {"retrained": "mu-retrained", "base": "mu-base"}
    key |= {f"{letter}: {run.title}": style for letter, style, run in zip(LETTERS, STYLES, runs, strict=False)}
    return scatter(marks, ("score on forget rows", "score on test rows"), key=key)


def steps(runs: Sequence[Finished], side: str) -> str:
    """Return the loss on some rows of a side, step by step; as a share of all steps, since runs differ in length."""
    lines = {}
    for letter, style, run in zip(LETTERS, STYLES, runs, strict=False):
        points = [(point["step"] / max(point["steps"], 1), point[side]) for point in run.points if side in point]
        if points:
            lines[letter] = (style, points)
    return curves(lines, ("share of the steps", f"loss on {side} rows"))


def numbers(runs: Sequence[Finished]) -> tuple[list[tuple[str, str]], list[list[str]]]:
    """Return a table of runs against numbers: head and lines."""
    head = [("number", "What is compared.")]
    head += [(letter, run.title) for letter, run in zip(LETTERS, runs, strict=False)]
    lines = [["S", *(_score(run) for run in runs)]]
    for split in ("forget", "retain", "test"):
        lines.append([f"score on {split} rows", *(f"{run.shown['scores']['this run'][0][split]:.3f}" for run in runs)])
    retrained = [[model["forget"] for model in run.shown["scores"]["retrained"]] for run in runs]
    lines.append(["retrained on forget rows", *(f"{np.mean(each):.3f}" if each else "-" for each in retrained)])
    lines.append(["loss attack's advantage", *(f"{_advantage(run.shown['losses']['this run']):.3f}" for run in runs)])
    names = list(dict.fromkeys(line["name"] for run in runs for line in run.shown["metrics"]))
    for name in names:
        found = [{line["name"]: line["run"] for line in run.shown["metrics"]}.get(name) for run in runs]
        lines.append([name, *("-" if value is None else f"{value + 0:.3f}" for value in found)])
    lines.append(["seconds of training", *(f"{run.shown['cost']['seconds']:.2f}" for run in runs)])
    return head, lines


def _score(run: Finished) -> str:
    row = run.row
    if row is None or row.interval is None:
        return "-"
    return f"{row.metrics['score'].value:.2f} ({row.interval.low:.2f} to {row.interval.high:.2f})"


def numbers_shown(runs: Sequence[Finished]) -> str:
    """Return that table."""
    head, lines = numbers(runs)
    return table(head, lines, label="Runs compared")
