"""Sweeps of many tasks, and a table of the scores of base models and of a retrained model beside each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mubench.hub_builders.dataset.readme import read_manifests
from mubench.hub_builders.dataset.task_info import find_task
from mubench.hub_builders.tasks import in_order
from mubench.hub_builders.utils.hints import command
from mubench.hub_builders.utils.tables import align_columns
from mubench.trainers.metrics.accuracy import accuracy
from mubench.trainers.metrics.attacks import auc
from mubench.trainers.runs.grid_parsers import PRIMARY
from mubench.trainers.sweeps.estimates import JobCosts
from mubench.trainers.sweeps.jobs import Place
from mubench.trainers.sweeps.schedule import run_jobs
from mubench.trainers.sweeps.sweep import Sweep
from mubench.trainers.sweeps.worker_pool import Workers

HEAD = ("task", "backbone", "model", "forget", "retain", "test", "MIA AUC", "seconds")


def task_sweeps(
    tasks: Sequence[str], place: Place, *, backbone: str | None = None, ratio: int = 10, **options: Any
) -> list[Sweep]:
    """Return a sweep for every task.

    Args:
        tasks: Task keys; none is every task that is built.
        place: Data, models and results; family `PRIMARY` stands for the one that each task is ranked on.
        backbone: Backbone key; ``None`` takes the first of each task.
        ratio: Percentage to delete.
        **options: Methods and seeds, as in `Sweep`.

    Raises:
        FileNotFoundError: If no task is named and none is built.
    """
    built = read_manifests(Path(place.data))
    sweeps = []
    for key in tasks or in_order(built):
        task = find_task(key, data=place.data, family=place.family)
        family = task.family_of(built[key]["tier"] if key in built else "mini")
        own = replace(place, family=family) if place.family == PRIMARY else place
        backbones = own.backbones(key, [backbone])
        sweeps.append(Sweep(task=key, ratio=ratio, backbones=backbones, place=own, **options))
    if not sweeps:
        raise FileNotFoundError(f"expected tasks in {place.data}, got none; build them with: {command('build')}")
    return sweeps


def matrix_sweeps(sweeps: Sequence[Sweep]) -> list[Sweep]:
    """Return the sweeps restricted to methods that are made for their task, by default all; drop sweeps without any.

    Raises:
        ValueError: If the methods are made for none of the tasks.
    """
    narrowed = [replace(sweep, methods=sweep.find_methods(sweep.backbones[0])) for sweep in sweeps]
    found = [sweep for sweep in narrowed if sweep.methods]
    if not found:
        tasks = ", ".join(sweep.task for sweep in sweeps)
        raise ValueError(f"expected methods made for {tasks}, got {', '.join(sweeps[0].methods)}")
    return found


def make_bases(sweeps: Sequence[Sweep], *, workers: int = 2) -> list[str]:
    """Train the missing models under one progress bar, and return the lines of a table of all.

    Raises:
        ValueError: If a task, backbone or ratio is unknown.
        FileNotFoundError: If the data are not there.
        FailedRunsError: If a training failed; all others are finished.
    """
    for sweep in sweeps:
        sweep.check()
    jobs = [job for sweep in sweeps for job in sweep.references(methods=("retrain",))]
    with Workers(workers) as pool:
        run_jobs(jobs, pool, retry=True, costs=JobCosts(jobs)).check()
    return align_columns([HEAD, *(line for sweep in sweeps for line in _lines(sweep))], left=(0, 1, 2))


def _lines(sweep: Sweep) -> list[tuple[str, ...]]:
    """Return a line for every model of a sweep: scores, the loss attack's AUC, and the seconds of its training."""
    lines = []
    for backbone in sweep.backbones:
        group = sweep.place.group(sweep.task, backbone, sweep.ratio)
        for name, folders in (("base", group.bases), ("retrained", group.retrained)):
            for seed in sorted(set(folders) & set(sweep.base_seeds)):
                outputs, cost = group.outputs(folders[seed]), group.runs[folders[seed]].cost
                scores = [accuracy(outputs, split) for split in ("forget", "retain", "test")]
                scores.append(auc(outputs["forget"].log_odds, outputs["test"].log_odds))
                seconds = f"{cost['seconds']:.1f}" if cost else "unknown"  # of an adopted model
                numbers = [*(f"{score:.3f}" for score in scores), seconds]
                lines.append((sweep.task, backbone, f"{name} s{seed}", *numbers))
    return lines
