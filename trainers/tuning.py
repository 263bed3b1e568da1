"""Tuning of method arguments: an equal number of trials a method, against retrained models that are not the official.

Everything happens on another draw of the rows to forget (``build --deletion_seed 1``), with models of its own, and
with validation rows in place of test rows: nothing that an official row is judged by is looked at. The first trial is
the default; TPE (Bergstra et al., 2011) chooses the others from the method's ``spaces.SPACES``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from mubench.hub_builders.answers import Answers
from mubench.hub_builders.columns import aligned
from mubench.hub_builders.folders import read_run
from mubench.hub_builders.load import task_info
from mubench.hub_builders.terms import NonFiniteError
from mubench.trainers.judge import find_flags
from mubench.trainers.metrics import Case, Views
from mubench.trainers.metrics.score import Parts, parts
from mubench.trainers.references import Group, find_group
from mubench.trainers.run import Request, unlearn
from mubench.trainers.scoring import guessed, passes
from mubench.trainers.spaces import SPACES, OneOf, Times
from mubench.trainers.sweep import QUIET, Place, Sweep
from mubench.trainers.workers import Workers

SPENT = 0.5  # a trial may cost this share of retraining, in passes; what costs more is no unlearning
HEAD = ("task", "backbone", "method", "trials", "default S", "best S", "arguments of the best")


@dataclasses.dataclass(frozen=True)
class Trial:
    """One setting and how it came out.

    Attributes:
        arguments: What differs from the defaults.
        value: S, or where that is 0 how far the worse of its two factors lies from it: 0 down to -1.
        passes: Forward and backward passes, as a share of retraining.
        note: Why the value is -1: ``diverged``, ``too dear``, a flag of the model, or nothing.
    """

    arguments: dict[str, Any]
    value: float
    passes: float = 0.0
    note: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tuning:
    """Which methods to tune, and on what.

    Attributes:
        sweep: Task, ratio, backbone, seeds and methods; its first seeds are taken.
        trials: Settings a method, the default among them.
        out: Folder of the trials.
    """

    sweep: Sweep
    trials: int = 16
    out: Path = Path("tuning")

    def check(self) -> None:
        """Find out what cannot work before anything is trained.

        Raises:
            ValueError: If the data are the published deletion, or what `Sweep.check` says.
        """
        self.sweep.check()
        info = task_info(self.sweep.task, data=self.sweep.place.data, family=self.sweep.place.family)
        if info.deletion_seed == 0:
            raise ValueError(
                f"expected rows of another deletion seed, since 0 is the published one that results are about; got "
                f"{self.sweep.place.data}; build others with: python -m mubench.hub_builders build --deletion_seed 1"
            )
        if self.trials < 1:
            raise ValueError(f"trials must be 1 or more, got {self.trials}")

    def jobs(self) -> list[_Tune]:
        """Return a job for every method."""
        backbone = self.sweep.backbones[0]
        return [_Tune(self, method) for method in self.sweep.methods or self.sweep.made_for(backbone)]


def proxy(model: Views, group: Sequence[Sequence[Views]]) -> float:
    """Return S with validation rows in place of test rows, or where S is 0 what is beyond: 0 down to -1.

    Args:
        model: Views of the judged model.
        group: Views of the retrained and of the base models.
    """
    retrained, bases = ([_validated(views) for views in models] for models in group)
    case = Case(_validated(model), retrained, bases, guessed(retrained[0]["test"]))
    found = parts(case)
    return float(found.score) or _beyond(found)


def _beyond(found: Parts) -> float:
    worst = max(found.row, found.mean, found.membership, found.utility)
    return max(-1.0, min(0.0, 1 - worst))


def _validated(views: Views) -> dict[str, Answers]:
    return {"forget": views["forget"], "retain": views["retain"], "test": views["validation"]}


@lru_cache(maxsize=4)
def _references(
    place: Place, task: str, backbone: str, ratio: int
) -> tuple[Group, list[list[dict[str, Answers]]], float]:
    """Return a group, the views of its retrained and base models, and the passes of retraining."""
    group = find_group(place.bench(task, backbone), ratio, place.models)
    group.require()
    models = [[group.views(folder) for folder in side.values()] for side in (group.retrained, group.bases)]
    costs = [passes(read_run(folder).cost) for folder in group.retrained.values()]
    return group, models, sum(costs) / len(costs)


@dataclasses.dataclass(frozen=True)
class _Tune:
    """Tunes one method; trials that are on disk are not made again."""

    tuning: Tuning
    method: str

    @property
    def backbone(self) -> str:
        return self.tuning.sweep.backbones[0]

    @property
    def path(self) -> Path:
        sweep = self.tuning.sweep
        return self.tuning.out / f"{sweep.task}-{self.backbone}-del{sweep.ratio}-{self.method}.json"

    def __call__(self) -> Path:
        done = read_trials(self.path)
        if not done:
            self.keep(done, self.trial({}))
        study, space = self.study(done)
        while len(done) < self.tuning.trials:
            asked = study.ask(space)
            trial = self.trial({name: _rounded(value) for name, value in asked.params.items()})
            study.tell(asked, trial.value)
            self.keep(done, trial)
        return self.path

    def keep(self, done: list[Trial], trial: Trial) -> None:
        """Add a trial, and write all of them."""
        done.append(trial)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        stage = self.path.with_suffix(f".{os.getpid()}")
        stage.write_text(json.dumps([dataclasses.asdict(one) for one in done], indent=1) + "\n")
        stage.replace(self.path)

    def study(self, done: Sequence[Trial]) -> tuple[Any, dict[str, Any]]:
        """Return a study that knows the finished trials, and what it may choose from.

        Raises:
            ModuleNotFoundError: If optuna is not there.
        """
        optuna = _optuna()
        plain = self.request({}).training_arguments("", plain=True)
        usual = {name: getattr(plain, name) for name in SPACES[self.method]}
        space = {
            name: optuna.distributions.FloatDistribution(usual[name] * one.low, usual[name] * one.high, log=True)
            if isinstance(one, Times)
            else optuna.distributions.CategoricalDistribution(one.values)
            for name, one in SPACES[self.method].items()
        }
        study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=len(done), n_startup_trials=4)
        )
        for trial in done:
            values = {**usual, **trial.arguments}
            if all(values[name] in one.values for name, one in SPACES[self.method].items() if isinstance(one, OneOf)):
                study.add_trial(optuna.trial.create_trial(params=values, distributions=space, value=trial.value))
        return study, space

    def request(self, arguments: Mapping[str, Any]) -> Request:
        """Return the run of a setting."""
        sweep = self.tuning.sweep
        return Request(
            bench=sweep.place.bench(sweep.task, self.backbone),
            method=self.method,
            ratio=sweep.ratio,
            base_seed=sweep.base_seeds[0],
            seed=sweep.seeds[0],
            arguments={**QUIET, **arguments},
            models=sweep.place.models,
        )

    def trial(self, arguments: dict[str, Any]) -> Trial:
        """Run a setting, judge it and remove the model."""
        sweep = self.tuning.sweep
        group, references, retraining = _references(sweep.place, sweep.task, self.backbone, sweep.ratio)
        try:
            folder = unlearn(self.request(arguments))
        except NonFiniteError:
            return Trial(arguments, -1.0, note="diverged")
        model, spent = group.views(folder), passes(read_run(folder).cost) / retraining
        shutil.rmtree(folder)
        if notes := [*find_flags(_validated(model), []), *(["too dear"] if spent > SPENT else [])]:
            return Trial(arguments, -1.0, spent, notes[0])
        return Trial(arguments, proxy(model, references), spent)


def _optuna() -> Any:
    try:
        optuna = import_module("optuna")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("expected optuna, got none; install it with: pip install optuna") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _rounded(value: Any) -> Any:
    """Return a number with two digits, which is what a table of defaults shows."""
    return float(f"{value:.2g}") if isinstance(value, float) else value


def read_trials(path: Path) -> list[Trial]:
    """Return the trials of a file, none if it is not there."""
    return [Trial(**one) for one in json.loads(path.read_text())] if path.is_file() else []


def tune(tunings: Sequence[Tuning], *, workers: int = 2) -> list[str]:
    """Tune under one progress bar, and return the lines of a table of the best settings.

    Raises:
        ValueError: If a task, backbone, method or ratio is unknown, or the data are the published deletion.
        FileNotFoundError: If the data are not there.
        NonFiniteError: If a reference diverged.
    """
    for tuning in tunings:
        tuning.check()
    with Workers(workers) as pool:
        jobs = [job for tuning in tunings for job in tuning.sweep.references(methods=("retrain",))]
        if diverged := pool.run(jobs, "references"):
            raise NonFiniteError(f"{len(diverged)} references diverged: {'; '.join(sorted(diverged))}")
        searches = [job for tuning in tunings for job in tuning.jobs()]
        pool.run(searches, "tuning")
    return aligned([HEAD, *(_line(job) for job in searches)], left=(0, 1, 2, 6))


def _line(job: _Tune) -> tuple[str, ...]:
    trials = read_trials(job.path)
    best = max(trials, key=lambda trial: trial.value)
    told = ", ".join(f"{name}={value}" for name, value in best.arguments.items()) or "the default"
    scores = (f"{max(trial.value, 0.0):.2f}" for trial in (trials[0], best))
    return (job.tuning.sweep.task, job.backbone, job.method, str(len(trials)), *scores, told)
