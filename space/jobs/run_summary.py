"""What there is to show of a finished run, as plain data: the server draws it and needs neither torch nor models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import AutoTokenizer

from mubench.hub_builders.hub.model_folder import read_run
from mubench.trainers.evaluation.judge import measure
from mubench.trainers.evaluation.references import Group
from mubench.trainers.inference.class_outputs import ClassOutputs
from mubench.trainers.inference.image_outputs import ImageOutputs
from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.inference.token_outputs import TokenOutputs
from mubench.trainers.metrics import METRICS, Case, SplitOutputs
from mubench.trainers.metrics.accuracy import majority_baseline

SPLITS = ("forget", "retain", "test")
SHOWN_ROWS = 24
DIGITS = 4
Array = npt.NDArray[np.float64]
Said = Callable[[Outputs, int], str]


def losses(outputs: Outputs) -> Array:
    """Return the loss of every row, ``(N,)``: of the right answer in nats, or of a drawing model the noise's error."""
    if isinstance(outputs, ImageOutputs):
        return np.exp(-outputs.true_probability)
    return np.logaddexp(0, -outputs.log_odds)


def outcome(group: Group, model: Path, base_seed: int) -> dict[str, Any]:
    """Return scores, losses, metrics and answers of a run beside its base and the retrained models.

    Args:
        group: The reference models.
        model: Folder of the run.
        base_seed: Seed of its base model.
    """
    run, base = group.outputs(model), group.outputs(group.bases[base_seed])
    retrained = [group.outputs(folder) for _, folder in sorted(group.retrained.items())]
    named = {"this run": [run], "base": [base], "retrained": retrained}
    return {
        "scores": {name: [_scores(views) for views in models] for name, models in named.items()},
        "losses": {name: _losses(models) for name, models in named.items() if models},
        "metrics": _metrics(run, base, retrained),
        "rows": _rows(group, run, base, retrained),
        "cost": dict(read_run(model).cost),
        "retraining_s": [read_run(folder).cost["seconds"] for folder in group.retrained.values()],
    }


def _scores(views: SplitOutputs) -> dict[str, float]:
    return {split: round(float(views[split].correct.mean()), DIGITS) for split in views if split != "validation"}


def _losses(models: Sequence[SplitOutputs]) -> dict[str, list[float]]:
    """Return the losses of every row by split; of several models those of the first."""
    return {split: np.round(losses(models[0][split]), DIGITS).tolist() for split in SPLITS}


def _metrics(run: SplitOutputs, base: SplitOutputs, retrained: Sequence[SplitOutputs]) -> list[dict[str, Any]]:
    """Return a line a metric: this run's value, the base's, and the mean of the retrained models'."""
    if len(retrained) < 2:
        return []
    chance = majority_baseline(retrained[0]["test"])
    own, _ = measure(Case(run, retrained, [base], chance))
    original, _ = measure(Case(base, retrained, [base], chance))
    return [
        {
            "name": name,
            "run": round(value.value, DIGITS),
            "base": round(original[name].value, DIGITS) if name in original else None,
            "retrained": None if value.retrained is None else round(value.retrained, DIGITS),
            "better": METRICS[name].better,
            "title": METRICS[name].title + (f", in {METRICS[name].unit}" if METRICS[name].unit else ""),
        }
        for name, value in own.items()
        if name != "score"
    ]


def _rows(
    group: Group, run: SplitOutputs, base: SplitOutputs, retrained: Sequence[SplitOutputs]
) -> list[dict[str, Any]]:
    """Return what the models say of the first forget rows, and how sure they are of the right answer."""
    said = _reader(group)
    named: Mapping[str, SplitOutputs] = {
        "base": base,
        "unlearned": run,
        **({"retrained": retrained[0]} if retrained else {}),
    }
    count = min(SHOWN_ROWS, len(run["forget"]))
    return [
        {
            "id": str(run["forget"].ids[row]),
            **{
                name: {
                    "said": said(views["forget"], row),
                    "score": round(float(views["forget"].correct[row]), DIGITS),
                    "loss": round(float(losses(views["forget"])[row]), DIGITS),
                }
                for name, views in named.items()
            },
        }
        for row in range(count)
    ]


def _reader(group: Group) -> Said:
    """Return the function that puts an answer into words."""
    labels = group.setting.info.labels

    def said(outputs: Outputs, row: int) -> str:
        if isinstance(outputs, ImageOutputs):
            outputs = outputs.classes
        if isinstance(outputs, ClassOutputs):
            return str(labels[int(outputs.predictions[row])])
        if isinstance(outputs, TokenOutputs):
            tokens = outputs.top_id[outputs.row == row, 0]
            return str(tokenizer.decode(tokens.tolist(), skip_special_tokens=True)).strip()
        raise TypeError(f"expected outputs of classes, tokens or pictures, got {type(outputs).__name__}")

    if group.setting.task.kind in ("summarization", "text_generation"):
        tokenizer = AutoTokenizer.from_pretrained(next(iter(group.bases.values())))
    return said
