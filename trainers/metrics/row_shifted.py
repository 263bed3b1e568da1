"""``row`` on slightly moved inputs: a model that only memorised its answers fails there."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mubench.trainers.metrics.case import Case, NoSignal
from mubench.trainers.metrics.evidence import Evidence, ReferenceEvidence
from mubench.trainers.metrics.score import REASONS, uniform_reference
from mubench.trainers.metrics.signal_gate import SIGNAL_LIMIT


def _shifted_distance(model: Evidence, reference: ReferenceEvidence) -> float:
    """Return ``row`` of a model on shifted forget rows, NaN without signal."""
    target = uniform_reference(reference)
    return float(target.row(model, target.shifted, target.distances(target.shifted))[0])


@lru_cache(maxsize=16)
def _shifted_spread(reference: ReferenceEvidence) -> float:
    """Return the standard deviation of the retrained models' ``row`` on shifted rows, each against the others."""
    pairs = zip(reference.retrained, reference.leave_one_out, strict=True)
    return float(np.std([_shifted_distance(one, others) for one, others in pairs], ddof=1))


def row_shifted(case: Case) -> float:
    """Return ``row`` on the shifted forget rows: a model that only memorised its answers fails there.

    Raises:
        NoSignal: If bases do not differ there from retrained models by more than these among themselves; the spread of
            the values of 3 or more retrained models must be within ``SIGNAL_LIMIT``.
        ValueError: If outputs on shifted rows are missing.
    """
    value = _shifted_distance(case.evidence, case.reference)
    if not np.isfinite(value):
        raise NoSignal(f"no signal for 'row_shifted': {REASONS['row']}")
    if len(case.reference.retrained) > 2 and not (spread := _shifted_spread(case.reference)) <= SIGNAL_LIMIT:
        raise NoSignal(f"no signal for 'row_shifted': retrained models differ by {spread:.2f} there")
    return value
