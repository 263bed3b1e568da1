"""Tuning of method arguments: an equal budget of passes per method, one retraining, on proxy requests.

Proxy requests have another deletion seed than the published one (``build --deletion_seed 1``) and their own reference
models, and validation rows take the place of test rows, so that tuning uses nothing that official results depend on.
The first trial is the default; the others lie in the method's search space (``spaces.yaml``). Tasks that share their
defaults are tuned together: the score of a setting is the mean over all tasks and requests, so that luck on one of
them does not win. The best settings are written as grids, which `mubench sweep` runs on the published requests.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mubench.hub_builders.dataset.load import task_info
from mubench.hub_builders.tasks import Kind
from mubench.hub_builders.utils.atomic import WORK
from mubench.hub_builders.utils.hints import command
from mubench.hub_builders.utils.optional import check_package
from mubench.hub_builders.utils.tables import align_columns
from mubench.hub_builders.utils.text import count_noun
from mubench.trainers.runs.grid_parsers import read_ratio
from mubench.trainers.runs.method_files import read_method_file
from mubench.trainers.sweeps.estimates import JobCosts
from mubench.trainers.sweeps.executor import Executor
from mubench.trainers.sweeps.grid_commands import open_executor
from mubench.trainers.sweeps.jobs import Job, Outcome, Place
from mubench.trainers.sweeps.schedule import FailedRunsError, run_jobs
from mubench.trainers.sweeps.sweep import Sweep
from mubench.trainers.tuning.proxy_requests import proxy_sweeps
from mubench.trainers.tuning.search import Search, TuneMethod, defaults_key
from mubench.trainers.tuning.trials import Trial, best_trial, read_trials
from mubench.trainers.tuning.tuned_grid import write_grids

HEAD = ("kind", "family", "method", "trials", "default S", "best S", "arguments of the best")


def _check_requests(sweeps: Sequence[Sweep], trials: int) -> None:
    for sweep in sweeps:
        sweep.check()
        if task_info(sweep.task, data=sweep.place.data, family=sweep.place.family).deletion_seed == 0:
            raise ValueError(
                f"expected a proxy request, not the published deletion, got {sweep.place.data}; "
                f"build it with: {command('build', deletion_seed=1)}"
            )
    if trials < 1:
        raise ValueError(f"trials must be 1 or more, got {trials}")


def plan_trials(sweeps: Sequence[Sweep], *, trials: int, out: Path) -> list[TuneMethod]:
    """Return a job for every kind of task and backbone family among proxy requests, and every method for all of them.

    Args:
        sweeps: Proxy requests; only the first of their seeds is used.
        trials: Settings a method at most, the default included.
        out: Folder of the trials and grids.
    """
    alike: dict[tuple[Kind, str], list[Sweep]] = {}
    for sweep in sweeps:
        alike.setdefault(defaults_key(sweep), []).append(sweep)
    jobs = []
    for group in alike.values():
        found = [sweep.find_methods(sweep.backbones[0]) for sweep in group]
        shared = [key for key in found[0] if all(key in others for others in found)]
        jobs += [TuneMethod(group, key, trials, out) for key in shared]
    return jobs


class _Searches:
    """Searches on an executor, under one progress bar."""

    def __init__(self, executor: Executor, bar: Any) -> None:
        self.executor, self.bar = executor, bar
        self.running: dict[int, tuple[TuneMethod, Search]] = {}
        self.failed: list[str] = []

    def advance(self, one: TuneMethod, search: Search, found: Trial | None = None) -> None:
        """Send a search what its last job found, if there was one, and submit its next job."""
        try:
            job = search.send(found)
        except StopIteration:
            self.bar.update()
        else:
            self.running[id(job)] = one, search
            self.executor.submit(job)

    def take(self, job: Job, outcome: Outcome) -> None:
        """Go on with the search of a job that has ended; it stops where the job failed."""
        one, search = self.running.pop(id(job))
        if outcome.failure:
            search.close()
            self.failed.append(f"{one.method}: {outcome.failure}")
            self.bar.update()
        else:
            self.advance(one, search, outcome.value)


def run_searches(searches: Sequence[TuneMethod], executor: Executor) -> None:
    """Run searches side by side, the trials of each one after the other.

    Raises:
        FailedRunsError: If a trial failed for another reason than its setting; the other searches are finished.
    """
    with tqdm(total=len(searches), desc=f"{'tuning':<12}", unit="method") as bar:
        work = _Searches(executor, bar)
        for one in searches:
            work.advance(one, one.search())
        while work.running:
            for job, outcome in executor.wait(1.0):
                work.take(job, outcome)
    if work.failed:
        got = f"{count_noun(len(work.failed), 'failed trial')}: {'; '.join(work.failed)}"
        raise FailedRunsError(f"expected all trials to finish, got {got}")


def tune(sweeps: Sequence[Sweep], *, trials: int, out: Path, executor: Executor) -> list[str]:
    """Tune; return the lines of a table of the best settings, and the commands that run these.

    Raises:
        ValueError: If a task, backbone, method or ratio is unknown, or the data are the published deletion.
        FileNotFoundError: If the data do not exist, or optuna, which suggests all but the first trial.
        FailedRunsError: If a reference failed, or trials did for another reason than their setting.
    """
    _check_requests(sweeps, trials)
    if trials > 1:
        check_package("optuna")
    searches = plan_trials(sweeps, trials=trials, out=out)
    with executor:
        references = [job for sweep in sweeps for job in sweep.references(methods=("retrain",))]
        run_jobs(references, executor, retry=True, costs=JobCosts(references)).check()
        run_searches(searches, executor)
    table = align_columns([HEAD, *(_line(job) for job in searches)], left=(0, 1, 2, 6))
    grids = [command("sweep", shlex.quote(str(path))) for path in write_grids(searches)]
    return [*table, *(f"on the published requests: {line}" for line in grids)]


def _line(job: TuneMethod) -> tuple[str, ...]:
    trials = read_trials(job.path, job.about)
    best = best_trial(trials)
    arguments = ", ".join(f"{name}={value}" for name, value in best.arguments.items()) or "the default"
    scores = (f"{max(trial.value, 0.0):.2f}" for trial in (trials[0], best))
    return (*defaults_key(job.sweeps[0]), job.method, str(len(trials)), *scores, arguments)


def run_tune(options: argparse.Namespace) -> list[str]:
    """Tune methods; return the lines of a table of the best settings, and the commands that run these.

    Raises:
        ValueError: If there is more than one seed.
    """
    if len(options.seeds) != 1:
        raise ValueError(f"expected one seed, got {' '.join(map(str, options.seeds))}")
    file = read_method_file(options.method_file) if options.method_file else None
    sweeps = proxy_sweeps(
        options.data,
        options.task,
        backbone=options.backbone,
        ratio=read_ratio(options),
        seed=options.seeds[0],
        place=Place(eval_seed=options.eval_seed, models=Path(options.models), method_file=file),
        methods=options.methods,
    )
    if options.ray is not None or options.slurm is not None:  # its workers may have another working directory
        sweeps = [replace(sweep, place=sweep.place.absolute()) for sweep in sweeps]
    folder = sweeps[0].place.models / WORK / "slurm"
    executor = open_executor(options.workers, ray=options.ray, slurm=options.slurm, folder=folder)
    return tune(sweeps, trials=options.trials, out=options.out, executor=executor)
