"""Distances of predicted distributions to the retrained models' on forget rows, averaged over the retrained models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mubench.trainers.metrics.case import Case

Array = npt.NDArray[np.float64]


def _kl(log_p: Array, log_q: Array) -> Array:
    """Return ``KL(p || q)`` in nats per row, ``(N,)``; a class of probability 0 under p adds nothing."""
    p = np.exp(log_p)
    difference = np.subtract(log_p, log_q, out=np.zeros_like(log_p), where=p > 0)
    result: Array = (p * difference).sum(axis=1)
    return result


def kl(log_u: Array, log_r: Array) -> float:
    """Return the mean over rows of ``KL(p_R || p_u)``, in nats."""
    return float(_kl(log_r, log_u).mean())


def js(log_u: Array, log_r: Array) -> float:
    """Return the mean Jensen-Shannon divergence in nats, symmetric, at most ``ln 2``."""
    middle = np.logaddexp(log_u, log_r) - np.log(2)
    return float((_kl(log_u, middle) + _kl(log_r, middle)).mean() / 2)


def activation(log_u: Array, log_r: Array) -> float:
    """Return the mean Euclidean distance of the probabilities, at most ``sqrt 2``."""
    return float(np.linalg.norm(np.exp(log_u) - np.exp(log_r), axis=1).mean())


def agreement(log_u: Array, log_r: Array) -> float:
    """Return the share of rows with the same most likely class."""
    return float((log_u.argmax(axis=1) == log_r.argmax(axis=1)).mean())


def to_retrained(distance: Callable[[Array, Array], float]) -> Callable[[Case], float]:
    """Return the metric that averages a distance on forget rows over the retrained models."""

    def compute(case: Case) -> float:
        own = case.model["forget"].log_probabilities
        return float(np.mean([distance(own, views["forget"].log_probabilities) for views in case.retrained]))

    return compute
