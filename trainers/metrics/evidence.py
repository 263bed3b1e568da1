"""Evidence: all that S reads of a model, rounded as it is stored, so that S can be recomputed without the model.

Letters: ``N`` forget rows, ``M`` test rows, ``K`` retrained models, ``B`` base models.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mubench.trainers.inference.outputs import Outputs

Array = npt.NDArray[np.float64]
SplitOutputs = Mapping[str, Outputs]

MAX_LOG_ODDS = 30.0
MAX_TEST_ROWS = 4000
FOLDS = 5
# Splits whose lost score counts as lost utility.
UTILITY_SPLITS = ("retain", "test", "ood")


def _round_half(values: npt.NDArray[Any]) -> Array:
    return values.astype(np.float16).astype(np.float64)


def likelihood(log_odds: Array, *, is_probability: bool) -> Array:
    """Return what attacks compare by ratios: the true answer's probability, or the inverse denoising loss."""
    return 1 / (1 + np.exp(-log_odds)) if is_probability else np.exp(log_odds)


def _hashes(purpose: str, ids: npt.NDArray[np.str_]) -> npt.NDArray[np.uint64]:
    digests = (hashlib.sha256(f"{purpose}:{one}".encode()).digest()[:8] for one in ids.tolist())
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


@dataclass(frozen=True, eq=False)
class RowEvidence:
    """Evidence of one model on ``N`` rows, rounded to half precision.

    Attributes:
        log_odds: Log-odds of the true answer, clipped to ±30, ``(N,)``.
        entropy: Entropy of the prediction in nats, ``(N,)``.
        correct: Task score of each row in [0, 1], ``(N,)``.
    """

    log_odds: Array
    entropy: Array
    correct: Array

    @classmethod
    def from_outputs(cls, outputs: Outputs | RowEvidence) -> Self:
        """Return the evidence of a model's outputs, or of numbers that are not rounded yet."""
        clipped = np.clip(outputs.log_odds, -MAX_LOG_ODDS, MAX_LOG_ODDS)
        return cls(_round_half(clipped), _round_half(outputs.entropy), _round_half(outputs.correct))


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence of one model.

    Attributes:
        forget: On all forget rows, ``N``.
        test: On at most ``MAX_TEST_ROWS`` test rows, ``M``.
        scores: Task score of every whole split.
        shifted: On the forget rows with a slightly moved input, ``N``; ``None`` where the modality has none.
    """

    forget: RowEvidence
    test: RowEvidence
    scores: Mapping[str, float]
    shifted: RowEvidence | None = None


@dataclass(frozen=True, eq=False)
class EvidenceRows:
    """The rows that evidence is about; all models of a group share them.

    Attributes:
        forget: Ids of the forget rows, ``(N,)``.
        test: Ids of the test rows, ``(M,)``.
        chance: Score of the best constant prediction.
        is_probability: Whether the log-odds are those of a probability; they are a confidence without odds where a
            model is judged by its denoising loss.
    """

    forget: npt.NDArray[np.str_]
    test: npt.NDArray[np.str_]
    chance: float
    is_probability: bool = True

    @classmethod
    def of(cls, model: SplitOutputs, chance: float) -> Self:
        """Return the rows of a model's outputs: all forget rows, and the test rows with the smallest hashes."""
        ids = model["test"].ids
        if len(ids) > MAX_TEST_ROWS:
            ids = ids[np.sort(np.argsort(_hashes("evidence", ids), kind="stable")[:MAX_TEST_ROWS])]
        return cls(model["forget"].ids, ids, chance, model["forget"].is_probability)

    @cached_property
    def folds(self) -> npt.NDArray[np.int64]:
        """Fold of each forget row, then of each test row, by hash of its id, ``(N + M,)``."""
        return (_hashes("fold", np.concatenate([self.forget, self.test])) % FOLDS).astype(np.int64)

    def confidence(self, log_odds: Array) -> Array:
        """Return the confidence ``s`` in the true answer: its probability, or the log-odds themselves."""
        return 1 / (1 + np.exp(-log_odds)) if self.is_probability else log_odds

    def read(self, model: SplitOutputs) -> Evidence:
        """Return the evidence of a model's outputs on these rows.

        Raises:
            ValueError: If the model has other forget rows, or lacks one of the test rows.
        """
        if not np.array_equal(model["forget"].ids, self.forget):
            raise ValueError(f"expected the {len(self.forget)} forget rows of the references, got other rows")
        test = model["test"]
        if len(test) != len(self.test):
            test = test.select(self.test)
        scores = {split: float(model[split].correct.mean()) for split in ("forget", *UTILITY_SPLITS) if split in model}
        shifted = RowEvidence.from_outputs(model["shifted"]) if "shifted" in model else None
        forget = RowEvidence.from_outputs(model["forget"])
        return Evidence(forget, RowEvidence.from_outputs(test), scores, shifted)


@dataclass(frozen=True, eq=False)
class ReferenceEvidence:
    """Evidence of the retrained models and the bases that models are judged against.

    Attributes:
        rows: The rows.
        retrained: Evidence of the ``K`` retrained models.
        bases: Evidence of the ``B`` base models.
    """

    rows: EvidenceRows
    retrained: Sequence[Evidence]
    bases: Sequence[Evidence]

    @cached_property
    def leave_one_out(self) -> list[ReferenceEvidence]:
        """The references without each retrained model."""
        return [
            ReferenceEvidence(self.rows, [*self.retrained[:i], *self.retrained[i + 1 :]], self.bases)
            for i in range(len(self.retrained))
        ]
