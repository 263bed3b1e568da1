"""The command `tune`, from its options to printed lines."""

from __future__ import annotations

import argparse
from pathlib import Path

from mubench.trainers.runs.grid_parsers import read_ratio
from mubench.trainers.runs.sweep import Place
from mubench.trainers.tuning.proxy_requests import proxy_sweeps
from mubench.trainers.tuning.tune import shared_tunings, tune


def run_tune(options: argparse.Namespace) -> list[str]:
    """Tune methods, and return the lines of a table of the best settings.

    Raises:
        ValueError: If there is more than one seed.
    """
    if len(options.seeds) != 1:
        raise ValueError(f"expected one seed, got {' '.join(map(str, options.seeds))}")
    sweeps = proxy_sweeps(
        options.data,
        options.task,
        backbone=options.backbone,
        ratio=read_ratio(options),
        seed=options.seeds[0],
        place=Place(eval_seed=options.eval_seed, models=Path(options.models)),
    )
    tunings = shared_tunings(sweeps, methods=options.methods, trials=options.trials, out=options.out)
    return tune(tunings, workers=options.workers)
