"""Distances between the predicted distributions of a model and of the retrained models on forget rows.

``log_u`` and ``log_r`` are log-probabilities of the model and of a retrained model, shape ``(lines, events)``; a row
has one line, or one per answer token.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.metrics.case import Case

Array = npt.NDArray[np.float64]


def _kl(log_p: Array, log_q: Array) -> Array:
    """Return ``KL(p || q)`` of every line in nats; an event with probability 0 under p adds nothing."""
    p = np.exp(log_p)
    difference = np.subtract(log_p, log_q, out=np.zeros_like(log_p), where=p > 0)
    result: Array = (p * difference).sum(axis=1)
    return result


def kl(log_u: Array, log_r: Array) -> Array:
    """Return ``KL(p_r || p_u)`` of every line, in nats."""
    return _kl(log_r, log_u)


def js(log_u: Array, log_r: Array) -> Array:
    """Return the Jensen-Shannon divergence of every line, in nats: symmetric and at most ``ln 2``."""
    middle = np.logaddexp(log_u, log_r) - np.log(2)
    return (_kl(log_u, middle) + _kl(log_r, middle)) / 2


def activation(log_u: Array, log_r: Array) -> Array:
    """Return the Euclidean distance of the probabilities of every line, in [0, sqrt 2]."""
    result: Array = np.linalg.norm(np.exp(log_u) - np.exp(log_r), axis=1)
    return result


def agreement(log_u: Array, log_r: Array) -> Array:
    """Return for every line 1 if both have the same most likely event, else 0."""
    return (log_u.argmax(axis=1) == log_r.argmax(axis=1)).astype(float)


def mean_distance(distance: Callable[[Array, Array], Array], own: Outputs, other: Outputs) -> float:
    """Return the mean over rows of a distance; that of a row is the mean over its lines."""
    log_u, log_r, row = own.pair_log_probabilities(other)
    lines = np.bincount(row, minlength=len(own))
    return float((np.bincount(row, weights=distance(log_u, log_r), minlength=len(own)) / lines).mean())


def to_retrained(distance: Callable[[Array, Array], Array]) -> Callable[[Case], float]:
    """Return the metric that averages a distance on forget rows over the retrained models."""

    def compute(case: Case) -> float:
        own = case.model["forget"]
        return float(np.mean([mean_distance(distance, own, outputs["forget"]) for outputs in case.retrained]))

    return compute
