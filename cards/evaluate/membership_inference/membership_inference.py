"""The metric ``membership_inference`` of the library ``evaluate``, on the functions that MU-Bench judges with.

``evaluate`` parses the imports of this file line by line: one module per line, at the top.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from mubench.trainers.metrics.attacks import advantage, auc, reference_values, true_positives_at

KINDS = ("log_odds", "loss", "probability")
INPUTS = """
Args:
    predictions: One number per row, ``(N,)``.
    references: 1 for a forget row (a member), 0 for a test row (a non-member), ``(N,)``.
    kind: What the numbers are: ``"log_odds"`` of the true answer (default), its negative log-likelihood ``"loss"``, or
        its ``"probability"``.
    entropy: Entropy of the model's predictions in nats, ``(N,)``; optional.
    correct: Whether, or to which share, the model is right, ``(N,)``; optional.
    retrained: The same numbers as ``predictions`` of K models trained without the forget rows, ``(K, N)``; optional.
Returns:
    ``auc`` of the loss attack, ``advantage`` 2 |auc - 1/2|, ``tpr_at_1_fpr`` (the share of forget rows found at 1 %
    false alarms), and ``auc_<attack>`` for what the other inputs allow: entropy, correctness, z, absolute_z and rmia.
"""


def to_log_odds(values: Any, kind: str) -> Any:
    """Return log-odds, of any shape, from log-odds, losses or probabilities; those of certainty are infinite.

    Raises:
        ValueError: If the kind is unknown, a number is not finite, or one lies outside the range of its kind.
    """
    if kind not in KINDS:
        raise ValueError(f"expected kind as one of {', '.join(KINDS)}, got {kind!r}")
    found = np.asarray(values, dtype=np.float64)
    low, high = {"log_odds": (-np.inf, np.inf), "loss": (0, np.inf), "probability": (0, 1)}[kind]
    if not np.isfinite(found).all() or found.min() < low or found.max() > high:
        raise ValueError(f"expected finite numbers from {low} to {high} for kind {kind!r}, got others")
    if kind == "log_odds":
        return found
    with np.errstate(divide="ignore"):
        return -found - np.log(-np.expm1(-found)) if kind == "loss" else np.log(found) - np.log1p(-found)


class MembershipInference(evaluate.Metric):  # type: ignore[misc]  # ``evaluate`` has no annotations
    """Attacks by one number per row."""

    def _info(self) -> Any:
        return evaluate.MetricInfo(
            description="How well numbers of a model tell forget rows (members) from test rows (non-members).",
            citation="",
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("int32")}
            ),
            reference_urls=["https://arxiv.org/abs/1709.01604", "https://arxiv.org/abs/2312.03262"],
        )

    def _compute(
        self,
        *,
        predictions: Sequence[float],
        references: Sequence[int],
        kind: str = "log_odds",
        entropy: Sequence[float] | None = None,
        correct: Sequence[float] | None = None,
        retrained: Sequence[Sequence[float]] | None = None,
    ) -> dict[str, float]:
        labels = np.asarray(references)
        if {*labels.tolist()} != {0, 1}:
            raise ValueError("expected references of 1 (forget rows) and 0 (test rows), got others or one of them")
        log_odds = to_log_odds(predictions, kind)
        columns = {"entropy": entropy, "correctness": correct}
        values = {name: self._column(name, found, len(labels)) for name, found in columns.items() if found is not None}
        if retrained is not None:
            others = np.stack([self._column("retrained", one, len(labels)) for one in retrained])
            names = ("z", "absolute_z", "rmia")
            values |= dict(zip(names, reference_values(log_odds, to_log_odds(others, kind)), strict=True))
        member = labels == 1
        area = auc(log_odds[member], log_odds[~member])
        return {
            "auc": area,
            "advantage": float(advantage(area)),
            "tpr_at_1_fpr": true_positives_at(log_odds[member], log_odds[~member]),
            **{f"auc_{name}": auc(found[member], found[~member]) for name, found in values.items()},
        }

    @staticmethod
    def _column(name: str, found: Any, rows: int) -> Any:
        values = np.asarray(found, dtype=np.float64)
        if values.shape != (rows,) or not np.isfinite(values).all():
            raise ValueError(f"expected {rows} finite numbers in {name}, got shape {values.shape} or others")
        return values
