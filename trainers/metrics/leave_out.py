"""How much models have memorised rows: the loss that leaving a row out costs, and what it changes.

Letters: ``N`` forget rows, ``K`` retrained models, ``B`` base models, ``J`` draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mubench.trainers.metrics.bootstrap import interval, weights
from mubench.trainers.metrics.evidence import Array, Evidence, ReferenceEvidence
from mubench.trainers.metrics.score import WeightedReference, uniform_reference

LEVELS = ("low", "middle", "high")


def leave_out_loss(reference: ReferenceEvidence) -> Array:
    """Return by how much the loss on every forget row is higher without it, ``(N,)``, in nats.

    The memorisation of Feldman (arXiv:1906.05271) with the loss in place of the error: the mean loss of the retrained
    models, which have not seen the row, less that of the base models, which have. All retrained models leave out the
    same set, so that rows that resemble each other count as memorised together.
    """

    def losses(model: Evidence) -> Array:
        log_odds = model.forget.log_odds
        return np.logaddexp(0, -log_odds) if reference.rows.is_probability else -log_odds

    retrained, bases = (
        np.mean([losses(one) for one in models], axis=0) for models in (reference.retrained, reference.bases)
    )
    difference: Array = retrained - bases
    return difference


def split_by_score(ids: npt.NDArray[np.str_], scores: Array) -> dict[str, npt.NDArray[np.str_]]:
    """Return the ids of the rows with the lowest, middle and highest scores: three sets of equal size.

    One or two rows that are left over lie between the sets.

    Raises:
        ValueError: If there are fewer than 3 rows.
    """
    size = len(ids) // len(LEVELS)
    if not size:
        raise ValueError(f"expected at least {len(LEVELS)} rows, got {len(ids)}")
    order = np.lexsort((ids, scores))
    starts = {"low": 0, "middle": (len(ids) - size) // 2, "high": len(ids) - size}
    return {level: ids[order[start : start + size]] for level, start in starts.items()}


@dataclass(frozen=True)
class Distance:
    """Distance of base models to retrained ones on forget rows, ``d`` = mean ``|s - s'|``.

    Attributes:
        value: ``d(B, R) - d(R, R')``, what ``row`` of the score divides by.
        low: Lower end of its 95 % interval, of a bootstrap over models and rows.
        high: Upper end.
        floor: ``d(R, R')``, of retrained models among each other.
    """

    value: float
    low: float
    high: float
    floor: float


def base_distance(reference: ReferenceEvidence, split: str) -> Distance:
    """Return the distance of the bases to the retrained models; the draws are those of S.

    Args:
        reference: Evidence of both.
        split: Fingerprint of the split, from which the draws follow.

    Raises:
        ValueError: If there are fewer than 2 retrained models or no base.
    """
    plain = uniform_reference(reference)
    _, floor, far = plain.distances(plain.plain)
    drawn = WeightedReference(reference, weights(reference, split))
    _, floors, distances = drawn.distances(drawn.plain)
    low, high = interval(distances - floors)
    return Distance(value=float(far[0] - floor[0]), low=low, high=high, floor=float(floor[0]))
