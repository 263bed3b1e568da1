"""The signal gate: a group of runs is not ranked where its retrained models differ too much from each other."""

from __future__ import annotations

import numpy as np

from mubench.trainers.metrics.case import Case, NoSignal
from mubench.trainers.metrics.score import evidence_parts

SIGNAL_LIMIT = 0.10
# Retrained models that the signal gate needs: with 3 it closes by chance in a quarter of the draws.
GATE_RETRAINED = 5


def row_spread(case: Case) -> float:
    """Return the standard deviation of ``row`` over the retrained models, each judged against the others.

    The judged model has no influence.

    Raises:
        NoSignal: If there are fewer than ``GATE_RETRAINED`` retrained models, or ``row`` is undefined for one.
    """
    reference = case.reference
    if len(reference.retrained) < GATE_RETRAINED:
        count = len(reference.retrained)
        raise NoSignal(f"no signal: the gate needs at least {GATE_RETRAINED} retrained models, got {count}")
    pairs = zip(reference.retrained, reference.leave_one_out, strict=True)
    return float(np.std([evidence_parts(one, others).row for one, others in pairs], ddof=1))


def signal_gate(case: Case) -> tuple[float | None, str | None]:
    """Return `row_spread`, where it is defined, and why the group has no signal, if it has none."""
    if len(case.reference.retrained) < GATE_RETRAINED:
        return None, None
    try:
        spread = row_spread(case)
    except NoSignal as error:
        return None, str(error)
    if spread > SIGNAL_LIMIT:
        return spread, f"no signal: retrained models' row differs by {spread:.2f}, more than {SIGNAL_LIMIT:.2f}"
    return spread, None
