"""The score S: 1 is a retrained model, 0 is an untouched or a destroyed one. Every draw of a bootstrap is one row."""

from __future__ import annotations

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
    """How often each row and model counts, one line per draw ``J``.

    Attributes:
        rows: Share of each forget row, ``(J, N)``, lines sum to 1.
        retrained: How often each retrained model was drawn, ``(J, K)``.
        bases: How often each base model was drawn, ``(J, B)``.
    """

    rows: Array
    retrained: Array
    bases: Array

    @classmethod
    def once(cls, case: Case) -> Self:
        """Return the one draw in which everything counts once."""
        rows = len(case.model["forget"])
        return cls(np.full((1, rows), 1 / rows), np.ones((1, len(case.retrained))), np.ones((1, len(case.bases))))


@dataclass(frozen=True)
class Parts:
    """The four parts of S, numbers or one value per draw ``(J,)``; each is 0 at a retrained and 1 at a base model."""

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
    """Return the mean of each line, ``(J, K)`` values counted ``(J, K)`` times."""
    result: Array = (values * counts).sum(axis=1) / counts.sum(axis=1)
    return result


def _over(above: Array, below: Array) -> Array:
    """Return the quotient, NaN where the denominator is not positive: no signal."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 1e-12)


def _row(case: Case, weights: Weights) -> Array:
    u = case.model["forget"].true_probability
    retrained = np.stack([views["forget"].true_probability for views in case.retrained])
    bases = np.stack([views["forget"].true_probability for views in case.bases])
    counts = weights.retrained
    near = _mean(weights.rows @ np.abs(u - retrained).T, counts)
    per_base = [_mean(weights.rows @ np.abs(base - retrained).T, counts) for base in bases]
    far = _mean(np.stack(per_base, axis=1), weights.bases)
    first, second = np.triu_indices(len(retrained), 1)
    floor = _mean(weights.rows @ np.abs(retrained[first] - retrained[second]).T, counts[:, first] * counts[:, second])
    return _over(near - floor, far - floor)


def _accuracy(views: list[Any], rows: Array) -> Array:
    """Return every model's weighted accuracy on forget rows, ``(J, K)``."""
    return rows @ np.stack([view["forget"].correct for view in views]).T.astype(float)


def _mean_gap(case: Case, weights: Weights) -> Array:
    u = _accuracy([case.model], weights.rows)[:, 0]
    retrained = _mean(_accuracy(list(case.retrained), weights.rows), weights.retrained)
    base = _mean(_accuracy(list(case.bases), weights.rows), weights.bases)
    return _over(np.abs(u - retrained), np.abs(base - retrained))


def _against(model: Any, retrained: list[tuple[Array, Array]], counts: Array) -> Array:
    """Return the placements of z and |z| with each retrained model counted so often."""
    z = []
    for side, split in enumerate(("forget", "test")):
        references = np.stack([pair[side] for pair in retrained])
        z.append(log_odds(model[split]) - counts @ references / counts.sum())
    return reference_placements(z[0], z[1])


def _advantages(case: Case, weights: Weights) -> tuple[Array, Array, Array]:
    """Return A of the model, of retrained models left one out, and of the bases, ``(J,)`` each."""
    models = [case.model, *case.retrained, *case.bases]
    plain = [weights.rows @ plain_placements(views["forget"], views["test"]) for views in models]
    strongest = np.stack([advantage(area).max(axis=1) for area in plain], axis=1)  # (J, 1 + K + B)
    references = [(log_odds(views["forget"]), log_odds(views["test"])) for views in case.retrained]
    drawn, which = np.unique(weights.retrained, axis=0, return_inverse=True)
    for index, counts in enumerate(drawn):
        draws = np.flatnonzero(which.reshape(-1) == index)
        for column, views in enumerate(models):
            others = counts.copy()
            if 1 <= column <= len(counts):
                others[column - 1] = 0  # a retrained model is no reference for itself
            if others.sum() == 0 or (others.sum() == counts.sum() and 1 <= column <= len(counts)):
                continue  # nothing to compare with, or not drawn
            area = weights.rows[draws] @ _against(views, references, others)
            strongest[draws, column] = np.maximum(strongest[draws, column], advantage(area).max(axis=1))
    last = 1 + len(case.retrained)
    retrained = _mean(strongest[:, 1:last], weights.retrained)
    return strongest[:, 0], retrained, _mean(strongest[:, last:], weights.bases)


def _membership(case: Case, weights: Weights) -> Array:
    model, retrained, base = _advantages(case, weights)
    return _over(np.maximum(model - retrained, 0), base - retrained)


def _utility(case: Case, weights: Weights) -> Array:
    lost = []
    for split in ("retain", "test", "ood"):
        if split in case.model:
            scores = np.array([views[split].correct.mean() for views in case.retrained])
            retrained = _mean(np.broadcast_to(scores, weights.retrained.shape), weights.retrained)
            below = np.maximum(retrained - case.model[split].correct.mean(), 0)
            lost.append(_over(below, retrained - case.chance))
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
    "membership": "the strongest attack tells no more about the bases than about the retrained models",
    "utility": "the retrained models are no better than chance on retain, test or ood rows",
}


@lru_cache(maxsize=16)
def parts(case: Case) -> Parts:
    """Return the four parts of S as numbers.

    Raises:
        NoSignal: If a part would divide by nothing; the message names it.
        ValueError: If there are fewer than 2 retrained models or no base.
    """
    drawn = weighted_parts(case, Weights.once(case))
    values = {field.name: float(getattr(drawn, field.name)[0]) for field in fields(drawn)}
    for name, value in values.items():
        if not np.isfinite(value):
            raise NoSignal(f"no signal for {name!r}: {_REASONS[name]}")
    return Parts(**values)


def row_spread(case: Case) -> float:
    """Return the standard deviation of ``row`` over retrained models, each judged against the others.

    The signal gate: above ``SIGNAL_LIMIT`` a group of results is not ranked. The judged model is not looked at.

    Raises:
        NoSignal: If there are fewer than 3 retrained models, or ``row`` is undefined for one of them.
    """
    if len(case.retrained) < 3:
        raise NoSignal(f"no signal: the gate needs at least 3 retrained models, got {len(case.retrained)}")
    return float(np.std([parts(other).row for other in case.leave_one_out], ddof=1))
