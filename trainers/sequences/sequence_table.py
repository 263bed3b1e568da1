"""A sequence of requests as lines of text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mubench.hub_builders.utils.tables import align_columns
from mubench.trainers.sequences.sequence_result import Scores, SequenceResult, Standing, Step

HEAD = (
    "model",
    "%",
    "rows",
    "S at its %",
    "S at the last %",
    "util.",
    "test",
    "retain",
    "own",
    "earlier",
    "first",
    "passes",
)
LEGEND = (
    "S at its %: against models retrained without the rows deleted so far, where there are some; at the last %:",
    "without all rows. * fails the signal gate. util.: score lost on other rows, 0 = as retrained.",
    "test, retain: scores on rows that no request deletes. own, earlier, first: score on the rows of this request, of",
    "those before it, of the first one; as retrained is best.",
    "passes: training cost up to here as a share of retraining's (forward + 2 backward examples).",
)
_MISSING = "-"


def title(result: SequenceResult) -> str:
    """Return what a sequence is about, in one line."""
    percent = result.ratios[0]
    where = f"{result.task} ({result.tier} tier, {result.family} family), {result.backbone}"
    given = "" if result.tuned == "default" else f" ({result.tuned} arguments)"
    many = f"{result.planned} requests of {percent} % each"
    return f"{where}, {result.method}{given}, base seed {result.base_seed}, seed {result.seed}: {many}"


def sequence_lines(result: SequenceResult) -> list[str]:
    """Return a sequence as a table, and in three lines its erosion, reversal and cost."""
    lines = [HEAD, ("base", "0", *[_MISSING] * 4, *_split_scores(result.base, None), number(0))]
    for place, (step, passes) in enumerate(zip(result.steps, result.passes, strict=True)):
        lines.append(_cells(f"request {place + 1}", step, place, passes))
    if result.one_shot is not None:
        lines.append(_cells("one shot", result.one_shot, None, result.one_shot.cost["passes_share"]))
    rows = str(result.one_shot.rows) if result.one_shot else _MISSING
    lines.append(
        ("retrained", str(result.ratio), rows, *[_MISSING] * 3, *_split_scores(result.retrained, None), number(1))
    )
    return [title(result), *align_columns(lines), *_summary(result)]


def _cells(name: str, step: Step, place: int | None, passes: float) -> tuple[str, ...]:
    standings = (_score(step.own), _score(step.whole), number(step.whole.utility))
    return (name, str(step.ratio), str(step.rows), *standings, *_split_scores(step.scores, place), number(passes))


def _split_scores(scores: Scores, place: int | None) -> tuple[str, ...]:
    """Return scores as text; on the rows of the request at a place, and of those before it, unless it is ``None``."""
    earlier = scores.requests[:place] if place is not None else []
    own = scores.requests[place] if place is not None else float(np.mean(scores.requests))
    mean = float(np.mean(earlier)) if earlier else None
    return tuple(map(number, (scores.test, scores.retain, own, mean, scores.requests[0])))


def _score(standing: Standing | None) -> str:
    if standing is None:
        return _MISSING
    if standing.score is None or standing.low is None or standing.high is None:
        return "no signal" if standing.no_signal else ", ".join(standing.flags)
    mark = "*" if standing.no_signal else ""
    return f"{number(standing.score)}{mark} ({number(standing.low)}-{number(standing.high)})"


def number(value: float | None) -> str:
    """Return a number with two digits, or a dash."""
    return _MISSING if value is None else f"{round(value, 2) + 0:.2f}"


def _signed(value: float | np.floating) -> str:
    return f"{round(float(value), 2) + 0:+.2f}"  # adding 0 turns -0.00 into 0.00


def _summary(result: SequenceResult) -> list[str]:
    last, once = result.steps[-1], result.one_shot
    erosion = (
        f"erosion: the test score changes by {_signed(-result.erosion)} ({number(result.base.test)} to "
        f"{number(last.scores.test)}); one shot {number(once.scores.test if once else None)}, retrained "
        f"{number(result.retrained.test)}"
    )
    spent, single = result.passes[-1], once.cost["passes_share"] if once else None
    times = f", {spent / single:.1f} times that" if single else ""
    cost = f"cost: {number(spent)} of retraining's passes; one shot {number(single)}{times}"
    return [erosion, _reversal(result), cost, *_diverged(result), *_gate(result)]


def _diverged(result: SequenceResult) -> list[str]:
    """Return which runs are missing since they diverged."""
    place = f"request {len(result.steps) + 1} of {result.planned}"
    stopped = [] if result.stopped is None else [f"stopped by {place}, which diverged: {result.stopped}"]
    return [*stopped, *([] if result.one_shot else ["one shot: diverged"])]


def _reversal(result: SequenceResult) -> str:
    if not result.reversals:
        return "reversal: one request is finished, and none after it"
    after, end = result.steps[0].scores.requests[0], result.steps[-1].scores.requests[0]
    return (
        f"reversal: the score on rows of earlier requests changes by {_signed(np.mean(result.reversals))} until the "
        f"end, on average; first request: {number(after)} after it, {number(end)} at the end, retrained "
        f"{number(result.retrained.requests[0])}, base {number(result.base.requests[0])}"
    )


def _gate(result: SequenceResult) -> list[str]:
    """Return why values of S carry a star, by ratio."""
    standings: Sequence[Standing | None] = [one for step in result.steps for one in (step.own, step.whole)]
    reasons = {one.ratio: one.no_signal for one in standings if one is not None and one.no_signal}
    return [f"{ratio} %: {reason}" for ratio, reason in sorted(reasons.items())]
