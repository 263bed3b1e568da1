"""The score S, version 2: 1 for a retrained model, 0 for the base or a destroyed model; vectorised over draws.

Letters: ``J`` draws, ``N`` forget rows, ``M`` test rows, ``K`` retrained models, ``B`` base models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Any, Literal, Self

import numpy as np

from mubench.trainers.metrics.attacks import ATTACKS, Attacks, largest_advantage, run_attacks, weighted_areas
from mubench.trainers.metrics.case import Case, NoSignal
from mubench.trainers.metrics.evidence import UTILITY_SPLITS, Array, Evidence, ReferenceEvidence

_Confidence = Callable[[Evidence], Array]
SCORE_VERSION: Literal[2] = 2


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of rows and models in every draw.

    Attributes:
        forget: Share of each forget row, ``(J, N)``; lines sum to 1.
        test: Share of each test row, ``(J, M)``; lines sum to 1.
        retrained: Count of each retrained model, ``(J, K)``.
        bases: Count of each base model, ``(J, B)``.
    """

    forget: Array
    test: Array
    retrained: Array
    bases: Array

    @classmethod
    def uniform(cls, reference: ReferenceEvidence) -> Self:
        """Return the weights of one draw in which every row and model counts once."""
        forget, test = len(reference.rows.forget), len(reference.rows.test)
        models = (np.ones((1, len(group))) for group in (reference.retrained, reference.bases))
        return cls(np.full((1, forget), 1 / forget), np.full((1, test), 1 / test), *models)


@dataclass(frozen=True)
class Parts:
    """The parts of S, numbers or one value per draw ``(J,)``: 0 for retrained models; all but utility 1 for bases."""

    row: Any
    mean: Any
    membership: Any
    utility: Any

    @property
    def score(self) -> Any:
        """``S = (1 - min(1, max(row, mean, membership, 0))) (1 - min(1, utility))``."""
        worst = np.maximum.reduce([self.row, self.mean, self.membership, np.zeros_like(self.row)])
        return (1 - np.minimum(1, worst)) * (1 - np.minimum(1, self.utility))


def _mean(values: Array, counts: Array) -> Array:
    """Return the weighted mean of each line of values ``(J, K)`` with counts ``(J, K)``, shape ``(J,)``."""
    result: Array = (values * counts).sum(axis=1) / counts.sum(axis=1)
    return result


def _divide(numerator: Array, denominator: Array) -> Array:
    """Return the quotient, NaN (no signal) where the denominator is not positive."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 1e-12)


def _columns(models: Sequence[Evidence], read: Callable[[Evidence], Array]) -> Array:
    """Return one column per model, ``(N, models)``."""
    return np.stack([read(model) for model in models], axis=1)


@dataclass(frozen=True, eq=False)
class WeightedReference:
    """What S needs of the reference models in every draw, computed once for all models judged against them.

    Args:
        reference: Evidence of the references.
        weights: The draws.

    Raises:
        ValueError: If there are fewer than 2 retrained models or no base.
    """

    reference: ReferenceEvidence
    weights: Weights

    def __post_init__(self) -> None:
        retrained, bases = len(self.reference.retrained), len(self.reference.bases)
        if retrained < 2 or not bases:
            raise ValueError(f"expected at least 2 retrained models and 1 base, got {retrained} and {bases}")

    def distances(self, confidence: _Confidence) -> tuple[Array, Array, Array]:
        """Return a confidence of the retrained models, ``(N, K)``, and ``d(R, R')`` and ``d(B, R)``, ``(J,)`` each."""
        rows, counts = self.weights.forget, self.weights.retrained
        retrained = _columns(self.reference.retrained, confidence)
        first, second = np.triu_indices(retrained.shape[1], 1)
        pairs = rows @ np.abs(retrained[:, first] - retrained[:, second])
        floor = _mean(pairs, counts[:, first] * counts[:, second])
        bases = [np.abs(confidence(base)[:, None] - retrained) for base in self.reference.bases]
        far = (rows @ np.concatenate(bases, axis=1)).reshape(len(rows), len(bases), -1)
        per_base = (far * counts[:, None]).sum(axis=2) / counts.sum(axis=1, keepdims=True)
        return retrained, floor, _mean(per_base, self.weights.bases)

    def row(self, model: Evidence, confidence: _Confidence, known: tuple[Array, Array, Array]) -> Array:
        """Return ``(d(u, R) - d(R, R')) / (d(B, R) - d(R, R'))``, ``d`` = mean ``|s - s'|`` on forget rows."""
        retrained, floor, far = known
        near = _mean(self.weights.forget @ np.abs(confidence(model)[:, None] - retrained), self.weights.retrained)
        return _divide(near - floor, far - floor)

    def plain(self, model: Evidence) -> Array:
        """Return the confidence ``s`` of a model on the forget rows, ``(N,)``."""
        return self.reference.rows.confidence(model.forget.log_odds)

    def shifted(self, model: Evidence) -> Array:
        """Return the confidence ``s`` of a model on the shifted forget rows, ``(N,)``."""
        if model.shifted is None:
            raise ValueError("expected outputs on shifted forget rows, got none")
        return self.reference.rows.confidence(model.shifted.log_odds)

    @cached_property
    def _plain_distances(self) -> tuple[Array, Array, Array]:
        return self.distances(self.plain)

    @cached_property
    def _mean_scores(self) -> tuple[Array, Array]:
        """Mean score of the retrained models and of the bases on forget rows, ``(J,)`` each."""
        rows, reference = self.weights.forget, self.reference
        retrained = rows @ _columns(reference.retrained, lambda one: one.forget.correct)
        bases = rows @ _columns(reference.bases, lambda one: one.forget.correct)
        return _mean(retrained, self.weights.retrained), _mean(bases, self.weights.bases)

    def _mean_gap(self, model: Evidence) -> Array:
        """Return ``|m(u) - m(R)| / |m(B) - m(R)|``, ``m`` = task score on forget rows."""
        retrained, base = self._mean_scores
        return _divide(np.abs(self.weights.forget @ model.forget.correct - retrained), np.abs(base - retrained))

    def _advantage(self, models: Sequence[Attacks]) -> Array:
        """Return the largest advantage of the attacks on each model, ``(J, models)``."""
        return largest_advantage(weighted_areas(models, self.weights.forget, self.weights.test))

    @cached_property
    def _advantages(self) -> tuple[Array, Array]:
        """Largest advantage on the retrained models (leave one out) and on the bases, ``(J,)`` each."""
        retrained, bases = map(self._advantage, reference_attacks(self.reference))
        return _mean(retrained, self.weights.retrained), _mean(bases, self.weights.bases)

    def _membership(self, model: Evidence) -> Array:
        """Return ``(A(u) - A(R))+ / (A(B) - A(R))``, ``A`` = the largest advantage of all attacks."""
        retrained, base = self._advantages
        attacks = judged_attacks(model, self.reference)
        return _divide(np.maximum(self._advantage([attacks])[:, 0] - retrained, 0), base - retrained)

    def _scores(self, model: Evidence, split: str) -> Array:
        """Return a model's score on a split in every draw, ``(J,)``; that on test moves as the drawn rows do."""
        moved = 0.0
        if split == "test":
            moved = self.weights.test @ model.test.correct - model.test.correct.mean()
        scores: Array = model.scores[split] + np.zeros(len(self.weights.forget)) + moved
        return scores

    @cached_property
    def _retrained_scores(self) -> dict[str, Array]:
        """Mean score of the retrained models on every split that counts for utility, ``(J,)`` each."""
        found = {}
        for split in UTILITY_SPLITS:
            if all(split in one.scores for one in self.reference.retrained):
                scores = np.stack([self._scores(one, split) for one in self.reference.retrained], axis=1)
                found[split] = _mean(scores, self.weights.retrained)
        return found

    def _utility(self, model: Evidence) -> Array:
        """Return the maximum over retain, test and ood rows of ``(m(R) - m(u))+ / (m(R) - chance)``."""
        lost = [
            _divide(np.maximum(retrained - self._scores(model, split), 0), retrained - self.reference.rows.chance)
            for split, retrained in self._retrained_scores.items()
            if split in model.scores
        ]
        return np.maximum.reduce(lost)

    def parts(self, model: Evidence) -> Parts:
        """Return the parts of S of a model in every draw, NaN where a draw leaves no signal."""
        return Parts(
            row=self.row(model, self.plain, self._plain_distances),
            mean=self._mean_gap(model),
            membership=self._membership(model),
            utility=self._utility(model),
        )


@lru_cache(maxsize=16)
def reference_attacks(reference: ReferenceEvidence) -> tuple[list[Attacks], list[Attacks]]:
    """Return the attacks on the retrained models, each without itself among the references, and on the bases."""
    retrained = list(map(judged_attacks, reference.retrained, reference.leave_one_out))
    return retrained, [judged_attacks(base, reference) for base in reference.bases]


@lru_cache(maxsize=64)
def judged_attacks(model: Evidence, reference: ReferenceEvidence) -> Attacks:
    """Return the attacks on a judged model; a process caches the last ones."""
    return run_attacks(model, reference.retrained, reference.rows)


@lru_cache(maxsize=16)
def uniform_reference(reference: ReferenceEvidence) -> WeightedReference:
    """Return the references with every row and model counted once."""
    return WeightedReference(reference, Weights.uniform(reference))


# Why a part would divide by 0.
REASONS = {
    "row": "the bases are no farther from the retrained models than these from each other on forget rows",
    "mean": "bases and retrained models have the same mean score on forget rows",
    "membership": "the strongest attack learns no more about the bases than about the retrained models",
    "utility": "the retrained models are no better than chance on retain, test or ood rows",
}


def evidence_parts(model: Evidence, reference: ReferenceEvidence) -> Parts:
    """Return the four parts of S as numbers.

    Raises:
        NoSignal: If a part would divide by 0; the message names it.
        ValueError: If there are fewer than 2 retrained models or no base.
    """
    drawn = uniform_reference(reference).parts(model)
    values = {field.name: float(getattr(drawn, field.name)[0]) for field in fields(drawn)}
    for name, value in values.items():
        if not np.isfinite(value):
            raise NoSignal(f"no signal for {name!r}: {REASONS[name]}")
    return Parts(**values)


@lru_cache(maxsize=16)
def parts(case: Case) -> Parts:
    """Return the four parts of S of a case as numbers; errors are those of `evidence_parts`."""
    return evidence_parts(case.evidence, case.reference)


def part_of(name: str) -> Callable[[Case], float]:
    """Return the metric that is one part of S, or ``"score"``, S itself."""
    return lambda case: float(getattr(parts(case), name))


def attack_area(name: str) -> Callable[[Case], float]:
    """Return the metric that is the AUC of one attack of ``ATTACKS``."""
    return lambda case: float(judged_attacks(case.evidence, case.reference).areas[ATTACKS.index(name)])
