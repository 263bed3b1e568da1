"""The score S: 1 for a retrained model, 0 for the base or a destroyed model; vectorised over bootstrap draws.

Letters: ``J`` draws, ``N`` forget rows, ``K`` retrained models, ``B`` base models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mubench.trainers.metrics.attacks import advantage, log_odds, plain_placements, reference_placements
from mubench.trainers.metrics.case import Case, NoSignal

Array = npt.NDArray[np.float64]
SIGNAL_LIMIT = 0.10


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of rows and models in every draw.

    Attributes:
        rows: Share of each forget row, ``(J, N)``; lines sum to 1.
        retrained: Count of each retrained model, ``(J, K)``.
        bases: Count of each base model, ``(J, B)``.
    """

    rows: Array
    retrained: Array
    bases: Array

    @classmethod
    def uniform(cls, case: Case) -> Self:
        """Return the weights of one draw in which every row and model counts once."""
        rows = len(case.model["forget"])
        return cls(np.full((1, rows), 1 / rows), np.ones((1, len(case.retrained))), np.ones((1, len(case.bases))))


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


def _row(case: Case, weights: Weights) -> Array:
    """Return ``(d(u, R) - d(R, R')) / (d(B, R) - d(R, R'))``, ``d`` = mean ``|p_true - p_true'|`` on forget rows."""
    u = case.model["forget"].true_probability
    retrained = np.stack([model["forget"].true_probability for model in case.retrained])
    bases = np.stack([model["forget"].true_probability for model in case.bases])
    counts = weights.retrained
    near = _mean(weights.rows @ np.abs(u - retrained).T, counts)
    per_base = [_mean(weights.rows @ np.abs(base - retrained).T, counts) for base in bases]
    far = _mean(np.stack(per_base, axis=1), weights.bases)
    first, second = np.triu_indices(len(retrained), 1)
    floor = _mean(weights.rows @ np.abs(retrained[first] - retrained[second]).T, counts[:, first] * counts[:, second])
    return _divide(near - floor, far - floor)


def _forget_scores(models: list[Any], rows: Array) -> Array:
    """Return the weighted accuracy of every model on forget rows, shape ``(J, models)``."""
    return rows @ np.stack([model["forget"].correct for model in models]).T.astype(float)


def _mean_gap(case: Case, weights: Weights) -> Array:
    """Return ``|m(u) - m(R)| / |m(B) - m(R)|``, ``m`` = accuracy on forget rows."""
    u = _forget_scores([case.model], weights.rows)[:, 0]
    retrained = _mean(_forget_scores(list(case.retrained), weights.rows), weights.retrained)
    base = _mean(_forget_scores(list(case.bases), weights.rows), weights.bases)
    return _divide(np.abs(u - retrained), np.abs(base - retrained))


def _reference_attacks(model: Any, references: list[tuple[Array, Array]], counts: Array) -> Array:
    """Return the placements of the reference attacks, given every reference's log-odds and count."""
    z = []
    for i, split in enumerate(("forget", "test")):
        z.append(log_odds(model[split]) - counts @ np.stack([pair[i] for pair in references]) / counts.sum())
    return reference_placements(z[0], z[1])


def _advantages(case: Case, weights: Weights) -> tuple[Array, Array, Array]:
    """Return the largest advantage for the model, the retrained models (leave one out) and the bases, ``(J,)``."""
    models = [case.model, *case.retrained, *case.bases]
    plain = [weights.rows @ plain_placements(model["forget"], model["test"]) for model in models]
    strongest = np.stack([advantage(area).max(axis=1) for area in plain], axis=1)  # (J, 1 + K + B)
    references = [(log_odds(model["forget"]), log_odds(model["test"])) for model in case.retrained]
    drawn, which = np.unique(weights.retrained, axis=0, return_inverse=True)
    for index, counts in enumerate(drawn):
        draws = np.flatnonzero(which.reshape(-1) == index)
        for column, model in enumerate(models):
            others = counts.copy()
            if 1 <= column <= len(counts):
                others[column - 1] = 0  # a retrained model is no reference for itself
            area = weights.rows[draws] @ _reference_attacks(model, references, others)
            strongest[draws, column] = np.maximum(strongest[draws, column], advantage(area).max(axis=1))
    last = 1 + len(case.retrained)
    retrained = _mean(strongest[:, 1:last], weights.retrained)
    return strongest[:, 0], retrained, _mean(strongest[:, last:], weights.bases)


def _membership(case: Case, weights: Weights) -> Array:
    """Return ``(A(u) - A(R))+ / (A(B) - A(R))``, ``A`` = the largest advantage of the five attacks."""
    model, retrained, base = _advantages(case, weights)
    return _divide(np.maximum(model - retrained, 0), base - retrained)


def _utility(case: Case, weights: Weights) -> Array:
    """Return the maximum over retain, test and ood rows of ``(m(R) - m(u))+ / (m(R) - chance)``."""
    lost = []
    for split in ("retain", "test", "ood"):
        if split in case.model:
            scores = np.array([model[split].correct.mean() for model in case.retrained])
            retrained = _mean(np.broadcast_to(scores, weights.retrained.shape), weights.retrained)
            below = np.maximum(retrained - case.model[split].correct.mean(), 0)
            lost.append(_divide(below, retrained - case.chance))
    return np.maximum.reduce(lost)


def weighted_parts(case: Case, weights: Weights) -> Parts:
    """Return the parts of S in every draw, NaN where a draw leaves no signal.

    Raises:
        ValueError: If there are fewer than 2 retrained models or no base.
    """
    if len(case.retrained) < 2 or not case.bases:
        raise ValueError(
            f"expected at least 2 retrained models and 1 base, got {len(case.retrained)} and {len(case.bases)}"
        )
    return Parts(
        row=_row(case, weights),
        mean=_mean_gap(case, weights),
        membership=_membership(case, weights),
        utility=_utility(case, weights),
    )


_REASONS = {
    "row": "the bases are no farther from the retrained models than these from each other on forget rows",
    "mean": "bases and retrained models have the same mean score on forget rows",
    "membership": "the strongest attack learns no more about the bases than about the retrained models",
    "utility": "the retrained models are no better than chance on retain, test or ood rows",
}


@lru_cache(maxsize=16)
def parts(case: Case) -> Parts:
    """Return the four parts of S as numbers.

    Raises:
        NoSignal: If a part would divide by 0; the message names it.
        ValueError: If there are fewer than 2 retrained models or no base.
    """
    drawn = weighted_parts(case, Weights.uniform(case))
    values = {field.name: float(getattr(drawn, field.name)[0]) for field in fields(drawn)}
    for name, value in values.items():
        if not np.isfinite(value):
            raise NoSignal(f"no signal for {name!r}: {_REASONS[name]}")
    return Parts(**values)


def part_of(name: str) -> Callable[[Case], float]:
    """Return the metric that is one part of S, or ``"score"``, S itself."""
    return lambda case: float(getattr(parts(case), name))


def row_spread(case: Case) -> float:
    """Return the standard deviation of ``row`` over the retrained models, each judged against the others.

    The signal gate: above ``SIGNAL_LIMIT`` a group of results is not ranked. The judged model has no influence.

    Raises:
        NoSignal: If there are fewer than 3 retrained models, or ``row`` is undefined for one of them.
    """
    if len(case.retrained) < 3:
        raise NoSignal(f"no signal: the gate needs at least 3 retrained models, got {len(case.retrained)}")
    return float(np.std([parts(other).row for other in case.leave_one_out], ddof=1))
