"""Commands about grids of runs, from their options to the lines they print."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mubench.hub_builders.utils.atomic import WORK
from mubench.trainers.models.backbones import describe_backbone
from mubench.trainers.runs.grid_parsers import read_ratio
from mubench.trainers.runs.method_files import custom_methods, read_method_file
from mubench.trainers.sweeps.bases import make_bases, matrix_sweeps, task_sweeps
from mubench.trainers.sweeps.estimates import describe_jobs
from mubench.trainers.sweeps.executor import Executor
from mubench.trainers.sweeps.grid_file import Resources, read_grid
from mubench.trainers.sweeps.jobs import Place
from mubench.trainers.sweeps.ray_cluster import RayCluster
from mubench.trainers.sweeps.slurm_cluster import SlurmCluster
from mubench.trainers.sweeps.sweep import Sweep, run_sweep
from mubench.trainers.sweeps.worker_pool import Workers


def open_executor(
    workers: int,
    *,
    ray: str | None = None,
    slurm: str | None = None,
    folder: Path = Path("models", WORK, "slurm"),
    resources: Resources | None = None,
) -> Executor:
    """Return the processes that run a sweep's jobs: of this machine, if no cluster is given.

    Args:
        workers: Number of processes, on Slurm of jobs in the queue.
        ray: Address of a Ray cluster.
        slurm: Partition of a Slurm cluster.
        folder: Folder of the jobs on Slurm.
        resources: What a run takes of a cluster.

    Raises:
        FileNotFoundError: If there is no such cluster.
        ValueError: If two clusters are given.
    """
    _check_clusters(ray, slurm)
    one = resources or Resources()
    if ray is not None:
        return RayCluster(ray, workers=workers, cpus=one.cpus, gpus=one.gpus)
    if slurm is not None:
        return SlurmCluster(slurm, folder, workers=workers, cpus=one.cpus, gpus=one.gpus, minutes=one.minutes)
    return Workers(workers)


def _check_clusters(ray: str | None, slurm: str | None) -> None:
    if ray is not None and slurm is not None:
        raise ValueError("expected --ray or --slurm, got both")


def run_grid(command: str, options: argparse.Namespace) -> list[str]:
    """Run a command about many runs, and return the lines to print.

    Raises:
        ValueError: If an option or a grid is wrong, or runs failed.
    """
    if getattr(options, "grid", None):
        grid = read_grid(options.grid, **options.changes)
        sweeps = grid.sweeps()
        with custom_methods(sweeps[0].place.method_file):
            return _schedule(sweeps, options, grid.workers, grid.resources)
    ratio = read_ratio(options)
    place = Place(
        data=options.data,
        family=options.family,
        eval_seed=options.eval_seed,
        models=Path(options.models),
        results=Path(getattr(options, "results", "results")),
        method_file=read_method_file(file) if (file := getattr(options, "method_file", None)) else None,
    )
    if command == "bases":
        seeds = {"base_seeds": options.seeds, "retrain_seeds": options.seeds}
        sweeps = task_sweeps(options.task, place, backbone=options.backbone, ratio=ratio, **seeds)
        return make_bases(sweeps, workers=options.workers)
    grid_of = {
        "ratio": ratio,
        "methods": options.methods,
        "base_seeds": options.base_seeds or options.seeds,
        "retrain_seeds": options.retrain_seeds or options.seeds,
        "seeds": [] if command == "references" else options.seeds,
    }
    if command == "matrix":
        sweeps = matrix_sweeps(task_sweeps(options.task, place, **grid_of))
    else:
        backbones = place.backbones(options.task, options.backbones or [None])
        sweeps = [Sweep(task=options.task, backbones=backbones, place=place, **grid_of)]
    return _schedule(sweeps, options, options.workers)


def _schedule(
    sweeps: Sequence[Sweep], options: argparse.Namespace, workers: int, resources: Resources | None = None
) -> list[str]:
    """Run sweeps, or list their runs; return these lines, after one for each custom backbone."""
    _check_clusters(options.ray, options.slurm)
    own = [line for sweep in sweeps for key in sweep.backbones for line in describe_backbone(key, sweep.row)]
    about = list(dict.fromkeys(own))
    if options.dry_run:
        for sweep in sweeps:
            sweep.check()
        jobs = [job for sweep in sweeps for job in sweep.jobs()]
        return about + describe_jobs(jobs, sweeps[0].place.models, retry=options.retry)
    if options.ray is not None or options.slurm is not None:  # its workers may have another working directory
        sweeps = [replace(sweep, place=sweep.place.absolute()) for sweep in sweeps]
    folder = sweeps[0].place.models / WORK / "slurm"
    executor = open_executor(workers, ray=options.ray, slurm=options.slurm, folder=folder, resources=resources)
    run_sweep(*sweeps, executor=executor, retry=options.retry).check()
    return about
