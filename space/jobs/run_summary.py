"""What the Space shows of a finished run, as plain data: the server needs neither torch nor models to render it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mubench.hub_builders.hub.model_folder import read_run
from mubench.trainers.evaluation.group import Group
from mubench.trainers.evaluation.judge import measure
from mubench.trainers.evaluation.reference_models import ReferenceModels
from mubench.trainers.inference.image_outputs import ImageOutputs
from mubench.trainers.inference.outputs import ClassOutputs, Outputs
from mubench.trainers.inference.token_outputs import TokenOutputs
from mubench.trainers.metrics import METRICS, SplitOutputs
from mubench.trainers.metrics.accuracy import majority_baseline
from mubench.trainers.models.modalities.pretrained import load_tokenizer

SPLITS = ("forget", "retain", "test")
# Rows of the gallery in each order; where images are generated, the same first ones for every run of a base model.
ORDERED_ROWS, GENERATED_ROWS = 12, 24
DIGITS = 4
Array = npt.NDArray[np.float64]
Prediction = Callable[[Outputs, int], str]


def losses(outputs: Outputs) -> Array:
    """Return the loss of every row, ``(N,)``: cross-entropy in nats; of a text-to-image model, the denoising error."""
    if isinstance(outputs, ImageOutputs):
        return np.exp(-outputs.true_probability)
    return np.logaddexp(0, -outputs.log_odds)


def summarize(group: Group, model: Path, base_seed: int) -> dict[str, Any]:
    """Return scores, losses, metrics and predictions of a run, given by folder, beside its base and the retrained."""
    run, base = group.outputs(model), group.outputs(group.bases[base_seed])
    retrained = [group.outputs(folder) for _, folder in sorted(group.retrained.items())]
    models = {"this run": [run], "base": [base], "retrained": retrained}
    return {
        "scores": {name: [_scores(outputs) for outputs in each] for name, each in models.items()},
        "losses": {name: _losses(each[0]) for name, each in models.items() if each},
        "metrics": _metrics(run, base, retrained),
        "rows": _rows(group, run, base, retrained),
        "cost": dict(read_run(model).cost),
        "retraining_s": [read_run(folder).cost["seconds"] for folder in group.retrained.values()],
    }


def _scores(outputs: SplitOutputs) -> dict[str, float]:
    return {split: _round(outputs[split].correct.mean()) for split in outputs if split != "validation"}


def _losses(outputs: SplitOutputs) -> dict[str, list[float]]:
    return {split: np.round(losses(outputs[split]), DIGITS).tolist() for split in SPLITS}


def _round(value: Any) -> float:
    return round(float(value), DIGITS)


def _metrics(run: SplitOutputs, base: SplitOutputs, retrained: Sequence[SplitOutputs]) -> list[dict[str, Any]]:
    """Return one line per metric: values of the run and its base, and the mean of the retrained models."""
    if len(retrained) < 2:
        return []
    chance = majority_baseline(retrained[0]["test"])
    references = ReferenceModels.from_outputs(dict(enumerate(retrained)), {0: base}, chance)
    own, _ = measure(references.case(run), references.retrained_means)
    original, _ = measure(references.case(base), {})
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
    """Return predictions, scores and losses of the models on the rows of the forget set that the gallery shows."""
    predict = _prediction_function(group)
    models = {"base": base["forget"], "unlearned": run["forget"]}
    models |= {"retrained": retrained[0]["forget"]} if retrained else {}
    return [
        {
            "id": str(run["forget"].ids[row]),
            **{name: describe_row(outputs, row, predict) for name, outputs in models.items()},
        }
        for row in _shown_rows(models)
    ]


def _shown_rows(models: dict[str, Outputs]) -> list[int]:
    """Return the first rows, and those whose loss differs most from the base's and from the retrained model's."""
    unlearned = models["unlearned"]
    if isinstance(unlearned, ImageOutputs):
        return list(range(min(GENERATED_ROWS, len(unlearned))))
    shown = {*range(min(ORDERED_ROWS, len(unlearned)))}
    for name in models.keys() - {"unlearned"}:
        difference = np.abs(losses(unlearned) - losses(models[name]))
        shown |= {*np.argsort(-difference, kind="stable")[:ORDERED_ROWS].tolist()}
    return sorted(shown)


def describe_row(outputs: Outputs, row: int, predict: Prediction) -> dict[str, Any]:
    """Return what a model predicts for a row, the score and the loss, and the text it generates, if one was made."""
    score, loss = _round(outputs.correct[row]), _round(losses(outputs)[row])
    found = {"prediction": predict(outputs, row), "score": score, "loss": loss}
    answers = outputs.answers if isinstance(outputs, TokenOutputs) else None
    if answers is not None and answers.chosen[row]:
        found["generated"] = str(answers.generated[row])
    return found


def _prediction_function(group: Group) -> Prediction:
    """Return a function that turns a model's output on a row into text: a class name, or decoded tokens."""
    labels = group.setting.info.labels

    def predict(outputs: Outputs, row: int) -> str:
        if isinstance(outputs, ImageOutputs):
            outputs = outputs.classes
        if isinstance(outputs, ClassOutputs):
            return str(labels[int(outputs.predictions[row])])
        if isinstance(outputs, TokenOutputs):
            tokens = outputs.top_id[outputs.row == row, 0]
            return str(tokenizer.decode(tokens.tolist(), skip_special_tokens=True)).strip()
        raise TypeError(f"expected outputs of classes, tokens or images, got {type(outputs).__name__}")

    if group.setting.task.kind in ("summarization", "text_generation"):
        tokenizer = load_tokenizer(pretrained_model_name_or_path=next(iter(group.bases.values())))
    return predict
