"""The pools of a group of runs: many models of one method, and the retrained models."""

from __future__ import annotations

import json

from mubench.hub_builders.utils.cli import did_you_mean
from mubench.trainers.evaluation.group import Group
from mubench.trainers.metrics import ENSEMBLE_METRICS
from mubench.trainers.metrics.ensembles import Pool, Pools

MIN_MODELS = min(metric.models for metric in ENSEMBLE_METRICS.values())


def gather_pools(group: Group, method: str) -> Pools:
    """Return the pools of a method's runs, over all their seeds, and of the retrained models.

    Raises:
        ValueError: If the group has no run of the method, runs with different arguments, or fewer models than any
            metric needs.
    """
    runs = {folder: run for folder, run in group.unlearned.items() if run.method == method}
    found = sorted({str(run.method) for run in group.unlearned.values()})
    if not runs:
        raise ValueError(f"expected a run of {method}, got {', '.join(found) or 'none'}{did_you_mean(method, found)}")
    settings = {json.dumps(dict(run.arguments), sort_keys=True) for run in runs.values()}
    if len(settings) > 1:
        raise ValueError(f"expected runs of {method} with the same arguments, got {len(settings)} different ones")
    if min(len(runs), len(group.retrained)) < MIN_MODELS:
        raise ValueError(
            f"expected at least {MIN_MODELS} runs of {method} and {MIN_MODELS} retrained models, "
            f"got {len(runs)} and {len(group.retrained)}"
        )
    retrained = [folder for _, folder in sorted(group.retrained.items())]
    return Pools(Pool.of(map(group.outputs, runs)), Pool.of(map(group.outputs, retrained)))


def measure_pools(pools: Pools) -> dict[str, float]:
    """Return every ensemble metric for which there are enough models, by name."""
    size = min(len(pools.unlearned), len(pools.retrained))
    there = set(pools.unlearned.margins)
    return {
        name: metric.measure(pools)
        for name, metric in ENSEMBLE_METRICS.items()
        if metric.models <= size and set(metric.needs) <= there
    }


def retrained_halves(pools: Pools) -> Pools:
    """Return every second retrained model as if unlearned, against the others: the value of a perfect method."""
    return Pools(pools.retrained.take(slice(0, None, 2)), pools.retrained.take(slice(1, None, 2)))
