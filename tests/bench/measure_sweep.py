"""Measures a sweep: runs a minute of one worker and of two, ``python -m tests.bench.measure_sweep``.

The runs are an epoch of some methods on mini cifar10 from one base model; both sweeps make the same runs. It needs two
idle cores.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from mubench.hub_builders.dataset.build import build
from mubench.trainers.sweeps.jobs import Place
from mubench.trainers.sweeps.schedule import run_jobs
from mubench.trainers.sweeps.sweep import Sweep
from mubench.trainers.sweeps.worker_pool import Workers

METHODS, SEEDS = ("finetune", "neg_grad", "random_label", "delete"), 4


def _runs_a_minute(sweep: Sweep, workers: int) -> float:
    """Make the base model, then measure the unlearning runs."""
    with Workers(workers) as pool:
        run_jobs(sweep.bases(sweep.backbones[0]), pool).check()
        jobs = [replace(job, base=None) for job in sweep.unlearning()]  # it is there
        start = time.perf_counter()
        run_jobs(jobs, pool).check()
        return 60 * len(jobs) / (time.perf_counter() - start)


def measure() -> dict[str, float]:
    """Return runs a minute of one and of two workers, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = str(build("cifar10", out=root))
        found = {}
        for workers in (1, 2):
            place = Place(data=data, models=root / f"models-{workers}", results=root / "results")
            sweep = Sweep(
                task="cifar10", ratio=10, backbones=["resnet"], base_seeds=[0], retrain_seeds=[0], methods=METHODS,
                seeds=range(SEEDS), options=({"num_train_epochs": 1},), place=place,
            )  # fmt: skip
            found[workers] = _runs_a_minute(sweep, workers)
    return {
        "sweep_one_worker_runs_a_minute": found[1],
        "sweep_two_workers_runs_a_minute": found[2],
        "sweep_two_workers_ratio": found[2] / found[1],
    }


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name} {value:.3f}")  # noqa: T201
