"""U-LiRA: the likelihood-ratio attack on unlearning, with shadow models that were unlearned (arXiv:2403.01218)."""

from __future__ import annotations

import numpy as np

from mubench.trainers.inference.outputs import Array
from mubench.trainers.metrics.ensembles import Pools

# Below it a variance of log-odds is rounding.
MIN_VARIANCE = 1e-12


def _log_density(values: Array, mean: Array, variance: Array) -> Array:
    """Return the log-density of normal distributions, up to a constant."""
    variance = np.maximum(variance, MIN_VARIANCE)
    result: Array = -((values - mean) ** 2) / (2 * variance) - np.log(variance) / 2
    return result


def _log_ratios(own: Array, others: Array) -> Array:
    """Return for every model of a pool and row by how much its own pool's density exceeds the other's, ``(N, n)``.

    The density of its own pool is fitted without the model itself.
    """
    count, mean, variance = len(own), own.mean(axis=0), own.var(axis=0)
    mean_left = (count * mean - own) / (count - 1)
    variance_left = (count * variance - (own - mean) ** 2 * count / (count - 1)) / (count - 1)
    return _log_density(own, mean_left, variance_left) - _log_density(own, others.mean(axis=0), others.var(axis=0))


def likelihood_ratio_accuracy(unlearned: Array, retrained: Array) -> float:
    """Return the balanced accuracy of guessing of which pool a model is, from its log-odds on one forget row.

    Every model is the target in turn and all others are the shadow models. Each pool's log-odds on a row have a
    normal distribution; the guess is the pool of the higher density, where equal ones count half.

    Args:
        unlearned: Log-odds of models trained with the rows and unlearned, ``(N, n)``.
        retrained: Log-odds of models that never saw them, ``(M, n)``.

    Returns:
        The mean over targets and rows, in [0, 1]; ½ where the pools do not differ.
    """
    ratios = _log_ratios(unlearned, retrained), _log_ratios(retrained, unlearned)
    return float(np.mean([((one > 0) + 0.5 * (one == 0)).mean() for one in ratios]))


def u_lira(pools: Pools) -> float:
    """Return the accuracy of U-LiRA on forget rows."""
    return likelihood_ratio_accuracy(*pools.margins("forget"))
