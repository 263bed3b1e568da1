"""Commands about grids of runs, from their options to the lines they print."""

from __future__ import annotations

import argparse
from pathlib import Path

from mubench.hub_builders.tasks import get_task
from mubench.trainers.runs.grid_parsers import read_ratio
from mubench.trainers.sweeps.bases import make_bases, matrix_sweeps, task_sweeps
from mubench.trainers.sweeps.sweep import Place, Sweep, run_sweep


def run_grid(command: str, options: argparse.Namespace) -> list[str]:
    """Run a command about many runs, and return the lines to print."""
    ratio = read_ratio(options)
    place = Place(
        data=options.data,
        family=options.family,
        eval_seed=options.eval_seed,
        models=Path(options.models),
        results=Path(getattr(options, "results", "results")),
    )
    if command == "bases":
        seeds = {"base_seeds": options.seeds, "retrain_seeds": options.seeds}
        sweeps = task_sweeps(options.task, place, backbone=options.backbone, ratio=ratio, **seeds)
        return make_bases(sweeps, workers=options.workers)
    grid = {
        "ratio": ratio,
        "methods": options.methods,
        "base_seeds": options.base_seeds or options.seeds,
        "retrain_seeds": options.retrain_seeds or options.seeds,
        "seeds": [] if command == "references" else options.seeds,
    }
    if command == "matrix":
        sweeps = matrix_sweeps(task_sweeps(options.task, place, **grid))
    else:
        backbones = options.backbones or [get_task(options.task).default_backbone]
        sweeps = [Sweep(task=options.task, backbones=backbones, place=place, **grid)]
    run_sweep(*sweeps, workers=options.workers)
    return []
