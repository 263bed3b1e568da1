"""The commands about many runs: sweep, references, bases and matrix, from their options to printed lines."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from mubench.hub_builders.tasks import get_task
from mubench.trainers.runs.bases import Bases, make_bases
from mubench.trainers.runs.grid_parsers import read_ratio
from mubench.trainers.runs.matrix import Matrix
from mubench.trainers.runs.sweep import Place, Sweep, run_sweep, run_sweeps


def run_grid(command: str, options: argparse.Namespace) -> list[str]:
    """Run one of these commands, and return the lines to print."""
    return COMMANDS[command](options)


def _place(options: argparse.Namespace) -> Place:
    return Place(
        data=options.data,
        family=options.family,
        eval_seed=options.eval_seed,
        models=Path(options.models),
        results=Path(getattr(options, "results", "results")),
    )


def _run_sweep(options: argparse.Namespace) -> list[str]:
    return _run_grid(options, seeds=options.seeds)


def _run_references(options: argparse.Namespace) -> list[str]:
    return _run_grid(options, seeds=[])


def _run_grid(options: argparse.Namespace, seeds: list[int]) -> list[str]:
    task = get_task(options.task)
    sweep = Sweep(
        task=task.key,
        ratio=read_ratio(options),
        backbones=options.backbones or [task.default_backbone],
        base_seeds=options.base_seeds or options.seeds,
        retrain_seeds=options.retrain_seeds or options.seeds,
        methods=options.methods,
        seeds=seeds,
        place=_place(options),
    )
    run_sweep(sweep, workers=options.workers)
    return []


def _run_bases(options: argparse.Namespace) -> list[str]:
    bases = Bases(
        tasks=options.task,
        backbone=options.backbone,
        ratio=read_ratio(options),
        seeds=options.seeds,
        place=_place(options),
    )
    return make_bases(bases, workers=options.workers)


def _run_matrix(options: argparse.Namespace) -> list[str]:
    matrix = Matrix(
        tasks=options.task,
        methods=options.methods,
        ratio=read_ratio(options),
        base_seeds=options.base_seeds,
        retrain_seeds=options.retrain_seeds,
        seeds=options.seeds,
        place=_place(options),
    )
    run_sweeps(matrix.sweeps(), workers=options.workers)
    return []


COMMANDS: dict[str, Callable[[argparse.Namespace], list[str]]] = {
    "references": _run_references,
    "sweep": _run_sweep,
    "bases": _run_bases,
    "matrix": _run_matrix,
}
