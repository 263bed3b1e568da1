"""A finished run as parts of a page: bars, histograms with a threshold, rows, metrics and cost."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from charts.lines import curves, histogram
from charts.tables import bars, table

from handlers.checks import number, one_of
from handlers.choices import info_of
from handlers.gallery import cards, splits
from handlers.runs import Finished, finished
from mubench.hub_builders.tasks import get_task

MODELS = ("this run", "base", "retrained")
SPLITS = ("forget", "retain", "test")
SIDES = {"forget": "mu-forget", "retain": "mu-retain", "test": "mu-test"}
STYLES = {"this run": "mu-run", "base": "mu-base", "retrained": "mu-retrained"}
ORDERS = ("as deleted", "most changed", "farthest from retrained")
SMALLEST, HIGHEST = 1e-4, 1e6


def score_bars(run: Finished) -> str:
    """Return the scores on forget, retain and test rows of the run, its base, and the retrained models."""
    groups = {}
    for split in SPLITS:
        groups[f"{split} rows"] = {
            name: (float(np.mean(scores)), _spread(scores))
            for name, models in run.shown["scores"].items()
            if (scores := [model[split] for model in models])
        }
    return bars(groups, STYLES)


def _spread(scores: Sequence[float]) -> str:
    mean = f"{np.mean(scores):.3f}"
    return mean if len(scores) == 1 else f"{mean} ({min(scores):.2f} to {max(scores):.2f})"


def loss_name(run: Finished) -> str:
    """Return what a loss is, for a task's kind."""
    return (
        "error in telling the noise"
        if get_task(run.request.task).kind == "text_to_image"
        else "loss of the right answer, in nats"
    )


def span(run: Finished) -> tuple[float, float]:
    """Return where the axis of losses begins and ends: what nearly all losses of all models are within."""
    every = np.concatenate([np.asarray(part) for losses in run.shown["losses"].values() for part in losses.values()])
    every = every[np.isfinite(every)]
    low, high = np.quantile(every, (0.01, 0.995)) if len(every) else (0.1, 1.0)
    low = max(float(low), SMALLEST)
    return low, max(float(high), 2 * low)


def usual_threshold(run: Finished) -> float:
    """Return the loss half-way between the base's median on retain rows and on test rows, by their logarithms."""
    losses, (low, high) = run.shown["losses"]["base"], span(run)
    medians = [max(float(np.median(losses[split])), SMALLEST) for split in ("retain", "test")]
    return float(np.clip(np.sqrt(medians[0] * medians[1]), low, high))


def attack(run: Finished, at: Any) -> dict[str, dict[str, float]]:
    """Return what an attack finds that calls rows of at most this loss members, for every model.

    Args:
        run: The run.
        at: The threshold.

    Returns:
        By model the shares of forget and test rows that are called members, and their difference, the advantage.

    Raises:
        ValueError: If the threshold is no number of 0 or more.
    """
    limit = number("threshold", at, 0, HIGHEST)
    found = {}
    for name, losses in run.shown["losses"].items():
        shares = {split: float(np.mean(np.asarray(losses[split]) <= limit)) for split in ("forget", "test")}
        found[name] = {**shares, "advantage": shares["forget"] - shares["test"]}
    return found


def attack_shown(name: Any, model: Any, at: Any) -> str:
    """Return the losses of a model of a run as a histogram, and what an attack by threshold finds on all models.

    Raises:
        ValueError: If there is no such run or model, or the threshold is no number of 0 or more.
    """
    run = finished(name)
    losses = run.shown["losses"][one_of("model", model, run.shown["losses"])]
    found = attack(run, at)
    head = [
        ("model", "Whose losses are looked at."),
        ("forget", "Share of forget rows that the attack calls members."),
        ("test", "Share of test rows that it calls members, all of them wrongly."),
        ("advantage", "The difference: 0 is what an attack on a retrained model should find."),
    ]
    note = f'<p class="mu-note">Members: loss at most {float(at):.3g}.</p>'
    lines = [[model, *(f"{found[model][part]:.3f}" for part in ("forget", "test", "advantage"))] for model in found]
    drawn = histogram(losses, SIDES, span=span(run), at=float(at), name=loss_name(run))
    found_shown = table(head, lines, label="What the attack finds")
    return f'<div class="mu-pair"><div>{drawn}</div><div>{found_shown}{note}</div></div>'


def rows_shown(name: Any, order: Any = ORDERS[0]) -> str:
    """Return forget rows with what base, unlearned and retrained model say of them.

    Raises:
        ValueError: If there is no such run or order, or the data are not those that the run was about.
    """
    run, order = finished(name), one_of("order", order, ORDERS)
    rows, other = run.shown["rows"], {"most changed": "base", "farthest from retrained": "retrained"}.get(order)
    if other:
        rows = sorted(rows, key=lambda r: -abs(r["unlearned"]["loss"] - r.get(other, r["base"])["loss"]))
    rows = rows[:12]
    info = info_of(run.request.task, run.request.family)
    ids = splits(info, run.request.ratio)["forget"]["example_id"]
    place_of = {name: place for place, name in enumerate(ids)}
    if any(row["id"] not in place_of for row in rows):
        raise ValueError("expected the rows that the run was about, got data that were built anew")
    return cards(info, run.request.ratio, "forget", [place_of[row["id"]] for row in rows], rows)


def metrics_shown(run: Finished) -> str:
    """Return every metric of the run beside base and retrained."""
    head = [
        ("metric", "Hover or focus a line's last cell for its meaning."),
        ("this run", "The unlearned model."),
        ("base", "The model before unlearning."),
        ("retrained", "Mean over retrained models, each judged against the others."),
        ("better", "Which direction is better."),
        ("what it is", "In words."),
    ]
    lines = [
        [line["name"], *(_cell(line[name]) for name in ("run", "base", "retrained")), line["better"], line["title"]]
        for line in run.shown["metrics"]
    ]
    return (
        table(head, lines, label="Metrics") if lines else '<p class="mu-note">Metrics need two retrained models.</p>'
    )


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value + 0:.3f}"


def cost_shown(run: Finished) -> str:
    """Return what the run cost beside retraining."""
    cost, retraining = run.shown["cost"], run.shown["retraining_s"]
    words = [f"{cost['seconds']:.2f} s of training", f"{cost.get('forward', 0):,.0f} examples forward"]
    words.append(f"{cost.get('backward', 0):,.0f} backward")
    if retraining:
        mean = float(np.mean(retraining))
        words.append(f"retraining took {mean:.2f} s, so this is {cost['seconds'] / mean:.0%} of it")
    whole = f"All of it, with judging: {run.shown['took_s']:.1f} s."
    return f'<p class="mu-note">Cost: {escape(", ".join(words))}. {whole}</p>'


def training_curve(points: Sequence[dict[str, float]]) -> str:
    """Return the loss on some forget and some retain rows, step by step."""
    lines = {
        side: (SIDES[side], [(p["step"], p[side]) for p in points if side in p])
        for side in ("forget", "retain")
        if any(side in p for p in points)
    }
    return curves(lines, ("step", "task loss, 32 rows a side"))
