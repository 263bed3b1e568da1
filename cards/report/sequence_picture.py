"""Pictures of sequences of requests: utility, the first request's rows, S and cost after every request, by method."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mubench.hub_builders.tasks.names import base_model
from mubench.trainers.sequences.sequence_result import SequenceResult, Step

_MARKERS = "osD^vPX"


def group_sequences(sequences: Sequence[SequenceResult]) -> dict[str, list[SequenceResult]]:
    """Return the sequences of every setting, by the name of its picture."""
    groups: dict[str, list[SequenceResult]] = defaultdict(list)
    for one in sequences:
        base = base_model(one.task, one.tier, one.backbone, family=one.family, eval_seed=one.eval_seed)
        draw = f"-d{one.deletion_seed}" if one.deletion_seed else ""
        groups[f"{base}{draw}-del{one.ratio}-steps{one.planned}-{one.split[:8]}"].append(one)
    return dict(groups)


def draw_sequences(sequences: Sequence[SequenceResult], path: str | Path) -> Path:
    """Draw the sequences of one setting into a PNG file, one line per method, and return its path."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    FigureCanvasAgg(figure)
    (erosion, reversal), (score, cost) = figure.subplots(2, 2)
    for number, one in enumerate(sequences):
        style = {"color": f"C{number % 10}", "marker": _MARKERS[number % len(_MARKERS)], "markersize": 5}
        _scores(erosion, one, lambda scores: scores.test, style)
        _scores(reversal, one, lambda scores: scores.requests[0], style)
        _standings(score, one, style)
        _passes(cost, one, style)
    first = sequences[0]
    for axes, value in ((erosion, first.retrained.test), (reversal, first.retrained.requests[0]), (cost, 1.0)):
        axes.axhline(value, color="black", linestyle="--", linewidth=0.9, label="retrained")
    erosion.set(title="Erosion: score on test rows", ylabel="score")
    reversal.set(title="Reversal: score on the rows of the first request", ylabel="score")
    score.set(title="S against models retrained without all rows", ylabel="S (1 = retrained)", ylim=(-0.05, 1.05))
    cost.set(title="Cost of all requests up to here", ylabel="share of retraining's passes")
    for axes in (erosion, reversal, score, cost):
        axes.set_xlabel("% deleted")
        axes.set_xticks([0, *first.ratios])
    handles, labels = erosion.get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    legend = figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=min(6, len(known)))
    legend.set_title("large hollow marker: all rows deleted at once")
    for text in legend.get_texts():  # names are no formulas
        text.set_parse_math(False)
    figure.suptitle(_title(first), parse_math=False)
    # Without date and version, equal sequences give equal bytes.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return Path(path)


def _title(one: SequenceResult) -> str:
    where = f"{one.task} ({one.tier} tier, {one.family} family), {one.backbone}"
    return f"{where}: {one.planned} requests of {one.ratios[0]} %"


def _label(one: SequenceResult) -> str:
    seeds = f", base seed {one.base_seed}" if one.base_seed else ""
    seeds += f", seed {one.seed}" if one.seed else ""
    stopped = "" if one.stopped is None else f", diverged in request {len(one.steps) + 1}"
    return f"{one.method}{'' if one.tuned == 'default' else ' (' + one.tuned + ')'}{seeds}{stopped}"


def _scores(axes: Any, one: SequenceResult, read: Callable[[Any], float], style: dict[str, Any]) -> None:
    places = [0, *(step.ratio for step in one.steps)]
    axes.plot(places, [read(one.base), *(read(step.scores) for step in one.steps)], label=_label(one), **style)
    _one_shot(axes, one, lambda step: read(step.scores), style)


def _standings(axes: Any, one: SequenceResult, style: dict[str, Any]) -> None:
    known = [step for step in one.steps if step.whole.score is not None]
    axes.errorbar(
        [step.ratio for step in known], [step.whole.score for step in known], yerr=_bars(known), capsize=2, **style
    )
    _one_shot(axes, one, lambda step: step.whole.score, style)


def _bars(steps: Sequence[Step]) -> list[list[float]]:
    """Return the lengths of the intervals of S below and above it."""
    ends = [(step.whole.score or 0.0, step.whole.low or 0.0, step.whole.high or 0.0) for step in steps]
    return [[max(0.0, s - low) for s, low, _ in ends], [max(0.0, high - s) for s, _, high in ends]]


def _passes(axes: Any, one: SequenceResult, style: dict[str, Any]) -> None:
    axes.plot([0, *(step.ratio for step in one.steps)], [0.0, *one.passes], **style)
    _one_shot(axes, one, lambda step: step.cost["passes_share"], style)


def _one_shot(axes: Any, one: SequenceResult, read: Callable[[Step], float | None], style: dict[str, Any]) -> None:
    if one.one_shot is not None and (value := read(one.one_shot)) is not None:
        axes.plot(one.ratio, value, linestyle="", fillstyle="none", **{**style, "markersize": 12})
