"""The metric ``mu_score`` of the library ``evaluate``, on the functions that MU-Bench judges with.

``evaluate`` parses the imports of this file line by line: one module per line, at the top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import datasets
import evaluate
import numpy as np

from mubench.trainers.metrics.evidence import Evidence, EvidenceRows, ReferenceEvidence, RowEvidence
from mubench.trainers.metrics.score import SCORE_VERSION, evidence_parts

COLUMNS = ("log_odds", "entropy", "correct")
INPUTS = """
Args:
    predictions: Log-odds of the true answer, of each forget and test row, ``(N,)``.
    references: 1 for a forget row, 0 for a test row, ``(N,)``.
    entropy: Entropy of the model's predictions in nats, ``(N,)``.
    correct: Whether, or to which share, the model is right, ``(N,)``.
    id: Ids of the rows, different strings, ``(N,)``; the folds of one attack follow from them.
    scores: Task score of the model on the splits ``retain`` and ``test``, and ``ood`` if there is one.
    retrained: K >= 2 models trained without the forget rows, each a mapping with ``log_odds``, ``entropy`` and
        ``correct`` of the same rows, and its ``scores``.
    bases: At least one model that unlearning starts from, as mappings of the same kind.
    chance: Task score of the best constant prediction.
Returns:
    ``score``, S: 1 for a retrained model, 0 for the base or a destroyed model; its parts ``row``, ``mean``,
    ``membership`` and ``utility``, all 0 for a retrained model; ``score_version``.
"""


class MuScore(evaluate.Metric):  # type: ignore[misc]  # ``evaluate`` has no annotations
    """S of an unlearned model, judged against retrained models and bases."""

    def _info(self) -> Any:
        numbers = {name: datasets.Value("float64") for name in ("predictions", "entropy", "correct")}
        others = {"references": datasets.Value("int32"), "id": datasets.Value("string")}
        return evaluate.MetricInfo(
            description="S of MU-Bench: how close an unlearned model is to retrained ones, from stored outputs.",
            citation="",
            inputs_description=INPUTS,
            features=datasets.Features({**numbers, **others}),
        )

    def _compute(
        self,
        *,
        predictions: Sequence[float],
        references: Sequence[int],
        entropy: Sequence[float],
        correct: Sequence[float],
        id: Sequence[str],
        scores: Mapping[str, float],
        retrained: Sequence[Mapping[str, Any]],
        bases: Sequence[Mapping[str, Any]],
        chance: float,
    ) -> dict[str, float]:
        if unknown := sorted({*np.asarray(references).tolist()} - {0, 1}):
            raise ValueError(f"expected references of 1 (forget row) or 0 (test row), got {unknown[0]}")
        member = np.asarray(references) == 1
        ids = np.asarray(id, dtype=np.str_)
        if not member.any() or member.all() or len(np.unique(ids)) < len(ids):
            counts = f"{int(member.sum())} forget rows among {len(ids)} with {len(np.unique(ids))} different ids"
            raise ValueError(f"expected forget and test rows with different ids, got {counts}")
        own = {"log_odds": predictions, "entropy": entropy, "correct": correct, "scores": scores}
        reference = ReferenceEvidence(
            EvidenceRows(ids[member], ids[~member], chance),
            [to_evidence(f"retrained[{i}]", one, member) for i, one in enumerate(retrained)],
            [to_evidence(f"bases[{i}]", one, member) for i, one in enumerate(bases)],
        )
        parts = evidence_parts(to_evidence("the model", own, member), reference)
        return {"score": float(parts.score), **asdict(parts), "score_version": SCORE_VERSION}


def to_evidence(name: str, model: Mapping[str, Any], member: Any) -> Evidence:
    """Return the evidence of a model, rounded as it is stored.

    Args:
        name: Its name in messages.
        model: ``log_odds``, ``entropy`` and ``correct`` of every row, ``(N,)``, and ``scores`` by split.
        member: Whether a row is a forget row, ``(N,)``.

    Raises:
        ValueError: If a column or the score of a split is missing, or a column has another length or is not finite.
    """
    columns = []
    for column in COLUMNS:
        values = np.asarray(model.get(column, ()), dtype=np.float64)
        if values.shape != member.shape or not np.isfinite(values).all():
            raise ValueError(f"expected {len(member)} finite numbers as {column} of {name}, got shape {values.shape}")
        columns.append(values)
    scores = {split: float(value) for split, value in model.get("scores", {}).items()}
    if not {"retain", "test"} <= set(scores):
        raise ValueError(f"expected scores of retain and test of {name}, got {', '.join(scores) or 'none'}")
    forget, test = (RowEvidence(*(values[rows] for values in columns)) for rows in (member, ~member))
    return Evidence(RowEvidence.from_outputs(forget), RowEvidence.from_outputs(test), scores)
