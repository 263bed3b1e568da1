"""The rules of a good mini task, on what small models say: numbers in, one readable failure out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """What one trained model says about each row of a split.

    Attributes:
        score: The row's score in [0, 1]: right or wrong, or the share of its answer tokens that are right.
        confidence: The model's probability of the right answer: of the class, or exp of the mean log-probability.
    """

    score: Array
    confidence: Array


Model = dict[str, Answers]  # by split: forget, retain, test


def _mean(models: Sequence[Model], split: str) -> float:
    return float(np.mean([model[split].score.mean() for model in models]))


def _distance(a: Model, b: Model) -> float:
    return float(np.abs(a["forget"].confidence - b["forget"].confidence).mean())


def rows(model: Model, others: Sequence[Model], bases: Sequence[Model]) -> float:
    """Return how far a model is from the retrained ones, where these are 0 and the bases 1."""
    floor = np.mean([_distance(a, b) for a, b in itertools.combinations(others, 2)])
    far = np.mean([_distance(base, other) for base in bases for other in others])
    return float((np.mean([_distance(model, other) for other in others]) - floor) / (far - floor))


def spread(bases: Sequence[Model], retrained: Sequence[Model]) -> float:
    """Return the signal gate's number: how much retrained models' ``row`` differs, each against the others."""
    values = [rows(one, [other for other in retrained if other is not one], bases) for one in retrained]
    return float(np.std(values, ddof=1))


def check(bases: Sequence[Model], retrained: Sequence[Model], *, tokens: bool = False) -> dict[str, float]:
    """Assert the rules of a good mini task and return the numbers they are about.

    Args:
        bases: Models trained on all rows.
        retrained: Models trained without the forget rows, three or more.
        tokens: Whether scores are shares of answer tokens.
    """
    sizes = {split: len(retrained[0][split].score) for split in ("forget", "test")}
    forget, test = _mean(retrained, "forget"), _mean(retrained, "test")
    # Models share their rows and err together, so the error is that of one model.
    deviation = {s: np.mean([model[s].score.std() for model in retrained]) for s in ("forget", "test")}
    error = float(np.sqrt(sum(deviation[s] ** 2 / sizes[s] for s in sizes)))
    truth = np.repeat([1, 0], [sizes["forget"], sizes["test"]])
    confidence = [np.concatenate([m["forget"].confidence, m["test"].confidence]) for m in retrained]
    area = float(np.mean([roc_auc_score(truth, one) for one in confidence]))
    area_error = float(np.sqrt((sizes["forget"] + sizes["test"] + 1) / (12 * sizes["forget"] * sizes["test"])))
    found = {
        "base retain": _mean(bases, "retain"),
        "base forget": _mean(bases, "forget"),
        "retrained forget": forget,
        "retrained test": test,
        "loss-MIA AUC": area,
    }
    if len(retrained) > 2:
        found["spread"] = spread(bases, retrained)
    said = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
    assert sizes["forget"] >= 50, said
    assert found["base retain"] >= (0.9 if tokens else 0.99) and found["base forget"] >= (0.9 if tokens else 0.95), (
        said
    )
    assert 0.55 <= round(forget, 9) <= 0.80 and abs(forget - test) < 3 * error, said
    assert abs(area - 0.5) < 3 * area_error, said
    assert found.get("spread", 0.0) <= 0.10, said
    return found
