"""A finished run as HTML: scores, losses with an attack's threshold, predictions, metrics and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
from charts.lines import advantages, curves, histogram
from charts.tables import bars, table

from handlers.choices import built_task_info, references_command
from handlers.gallery import row_cards, splits
from handlers.input_checks import check_choice, check_number
from handlers.runs import FinishedRun, finished_run
from mubench.cards.leaderboard.formats import number
from mubench.hub_builders.dataset.task_info import find_task
from mubench.trainers.evaluation.judge import SCORE_PARTS
from mubench.trainers.metrics import METRICS

SPLITS = {"forget": "mu-forget", "retain": "mu-retain", "test": "mu-test"}
STYLES = {"this run": "mu-run", "base": "mu-base", "retrained": "mu-retrained"}
ORDERS = ("most changed", "farthest from retrained", "as deleted")
# The model that the unlearned one is compared with, by order.
COMPARED = {"most changed": "base", "farthest from retrained": "retrained"}
MAX_CARDS = 12
MIN_LOSS, MAX_LOSS = 1e-4, 1e6
# Points of the curve of an attack.
THRESHOLDS = 80
Array = npt.NDArray[np.float64]


def render_scores(run: FinishedRun) -> str:
    """Return the scores on forget, retain and test rows of the run, its base, and the retrained models."""
    groups = {
        f"{split} rows": {
            name: (float(np.mean(scores)), _mean_and_range(scores))
            for name, models in run.summary["scores"].items()
            if (scores := [model[split] for model in models])
        }
        for split in SPLITS
    }
    return bars(groups, STYLES)


def _mean_and_range(scores: Sequence[float]) -> str:
    mean = f"{np.mean(scores):.3f}"
    return mean if len(scores) == 1 else f"{mean} ({min(scores):.2f} to {max(scores):.2f})"


def missing_retrained(run: FinishedRun) -> str:
    """Return why nothing is shown of retrained models, and the command that trains some; empty where some are here."""
    if run.summary["scores"]["retrained"]:
        return ""
    request = run.request
    making = references_command(request.task, request.backbone, request.ratio, request.family)
    return (
        '<p class="mu-note">No retrained model is here: S was computed from the evidence of some that ships with the '
        f"suite. To see theirs, train some on a machine of yours with <code>{escape(making)}</code>.</p>"
    )


def loss_range(run: FinishedRun) -> tuple[float, float]:
    """Return the ends of the axis of losses, between which nearly all losses of all models lie."""
    values = np.concatenate([each for losses in run.summary["losses"].values() for each in losses.values()])
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, (0.01, 0.995)) if len(values) else (0.1, 1.0)
    low = max(float(low), MIN_LOSS)
    return low, max(float(high), 2 * low)


def default_threshold(run: FinishedRun) -> float:
    """Return the geometric mean of the base's median losses on retain and on test rows."""
    losses, (low, high) = run.summary["losses"]["base"], loss_range(run)
    medians = [max(float(np.median(losses[split])), MIN_LOSS) for split in ("retain", "test")]
    return float(np.clip(np.sqrt(medians[0] * medians[1]), low, high))


def attack(run: FinishedRun, threshold: Any) -> dict[str, dict[str, float]]:
    """Return what the loss attack finds, which predicts rows with at most some loss to be training rows.

    Returns:
        By model the shares of forget and test rows that are predicted members, and their difference, the advantage.

    Raises:
        ValueError: If the threshold is not a number of 0 or more.
    """
    threshold = check_number("threshold", threshold, 0, MAX_LOSS)
    found = {}
    for name, losses in run.summary["losses"].items():
        shares = {split: float(np.mean(np.asarray(losses[split]) <= threshold)) for split in ("forget", "test")}
        found[name] = {**shares, "advantage": shares["forget"] - shares["test"]}
    return found


def chance(losses: Mapping[str, Sequence[float]], thresholds: Array) -> Array:
    """Return the advantage that 95 % of attacks stay below, were forget and test rows drawn from one distribution.

    Args:
        losses: Losses by split.
        thresholds: Thresholds of the attack, ``(N,)``.

    Returns:
        1.96 standard errors of the difference of two shares, ``(N,)``.
    """
    forget, test = (np.asarray(losses[split]) for split in ("forget", "test"))
    share = np.mean(np.concatenate([forget, test])[:, None] <= thresholds, axis=0)
    spread: Array = 1.96 * np.sqrt(share * (1 - share) * (1 / len(forget) + 1 / len(test)))
    return spread


def render_attack(name: Any, model: Any, threshold: Any) -> str:
    """Return one model's losses, the attack's advantage at all thresholds, and its results on all models as a table.

    Raises:
        ValueError: If there is no such run or model, or the threshold is not a number of 0 or more.
    """
    run = finished_run(name)
    losses = run.summary["losses"][check_choice("model", model, run.summary["losses"])]
    found, threshold = attack(run, threshold), float(threshold)
    head = [
        ("model", "The attacked model."),
        ("forget", "Share of forget rows that the attack predicts to be members."),
        ("test", "Share of test rows that it predicts to be members, all of them wrongly."),
        ("advantage", "The difference: 0 is what an attack on a retrained model should find."),
        ("by chance", "Up to this advantage, either way, the difference is within chance (95 %)."),
    ]
    lines = [
        [each, *(f"{share:.3f}" for share in found[each].values()), f"{chance(one, np.array([threshold]))[0]:.3f}"]
        for each, one in run.summary["losses"].items()
    ]
    is_image = find_task(run.request.task).kind == "text_to_image"
    loss = "denoising error" if is_image else "cross-entropy loss, in nats"
    span = loss_range(run)
    chart = histogram(losses, SPLITS, span=span, threshold=threshold, name=loss)
    thresholds = np.geomspace(*span, THRESHOLDS)
    shares = {each: _advantages(one, thresholds) for each, one in run.summary["losses"].items()}
    band = chance(losses, thresholds)
    curve = advantages(
        {each: (STYLES[each], line) for each, line in shares.items()}, band, thresholds, threshold=threshold, name=loss
    )
    note = f'<p class="mu-note">Predicted members: loss at most {threshold:.3g}.</p>'
    results = table(head, lines, label="Loss attack")
    return f'<div class="mu-pair"><div>{chart}</div><div>{curve}</div></div>{note}{results}'


def _advantages(losses: Mapping[str, Sequence[float]], thresholds: Array) -> Array:
    """Return the attack's advantage at every threshold, ``(N,)``."""
    forget, test = (np.sort(losses[split]) for split in ("forget", "test"))
    found: Array = np.searchsorted(forget, thresholds, side="right") / len(forget)
    return found - np.searchsorted(test, thresholds, side="right") / len(test)


def orders(run: FinishedRun) -> list[str]:
    """Return the orders that a run's rows have: none by retrained models where none is here."""
    return [order for order in ORDERS if COMPARED.get(order) != "retrained" or run.summary["scores"]["retrained"]]


def render_rows(name: Any, order: Any = ORDERS[0]) -> str:
    """Return forget rows with the predictions of base, unlearned and retrained model.

    Raises:
        ValueError: If there is no such run or order, or the data were rebuilt after the run.
    """
    run, order = finished_run(name), check_choice("order", order, ORDERS)
    rows = run.summary["rows"]
    if other := COMPARED.get(order):
        rows = sorted(rows, key=lambda row: -abs(row["unlearned"]["loss"] - row.get(other, row["base"])["loss"]))
    rows = rows[:MAX_CARDS]
    info = built_task_info(run.request.task, run.request.family)
    ids = splits(info, run.request.ratio)["forget"]["example_id"]
    index = {example: position for position, example in enumerate(ids)}
    if any(row["id"] not in index for row in rows):
        raise ValueError("expected the data that the run was trained on, got data that were rebuilt since")
    return missing_retrained(run) + row_cards(
        info, run.request.ratio, "forget", [index[row["id"]] for row in rows], rows
    )


def render_metrics(run: FinishedRun) -> str:
    """Return every metric of the run beside base and retrained."""
    lines = [
        [
            metric_name(each["name"]),
            *(number(each[key], 3) for key in ("run", "base", "retrained")),
            each["better"],
            each["title"],
        ]
        for each in run.summary["metrics"] or _metrics_of_row(run)
    ]
    if not lines:
        return '<p class="mu-note">Metrics need two retrained models.</p>'
    head = [
        ("metric", "Name of the metric; its description is in the last column."),
        ("this run", "The unlearned model."),
        ("base", "The model before unlearning."),
        ("retrained", "Mean over retrained models, each judged against the others."),
        ("better", "Which direction is better."),
        ("description", "What the metric measures."),
    ]
    return table(head, lines, label="Metrics")


def metric_name(name: str) -> str:
    """Return the name of a metric in tables, which tells the parts of S from attacks of similar names."""
    return f"{name} (part of S)" if name in SCORE_PARTS else name


def _metrics_of_row(run: FinishedRun) -> list[dict[str, Any]]:
    """Return the metrics of the row: of shipped reference models there are no outputs to measure."""
    values = run.row.metrics if run.row else {}
    return [
        {"name": name, "run": value.value, "base": None, "retrained": value.retrained, "better": METRICS[name].better,
         "title": METRICS[name].title}
        for name, value in values.items()
        if name != "score"
    ]  # fmt: skip


def render_cost(run: FinishedRun) -> str:
    """Return the cost of the run beside that of retraining."""
    cost, retraining = run.summary["cost"], run.summary["retraining_s"]
    parts = [f"{cost['seconds']:.2f} s of training", f"{cost.get('forward', 0):,.0f} examples forward"]
    parts.append(f"{cost.get('backward', 0):,.0f} backward")
    if retraining:
        mean = float(np.mean(retraining))
        parts.append(f"{cost['seconds'] / mean:.0%} of retraining's {mean:.2f} s")
    total = f"In total, with judging: {run.summary['took_s']:.1f} s."
    return f'<p class="mu-note">Cost: {escape(", ".join(parts))}. {total}</p>'


def render_curve(points: Sequence[dict[str, float]]) -> str:
    """Return the loss on some forget and some retain rows, by step."""
    lines = {
        split: (SPLITS[split], [(point["step"], point[split]) for point in points if split in point])
        for split in ("forget", "retain")
        if any(split in point for point in points)
    }
    return curves(lines, ("step", "task loss, 32 rows per set"))
