"""Tuning of method arguments: an equal number of trials a method, against retrained models that are not the official.

Everything happens on other draws of the rows to forget (``build --deletion_seed 1``), with models of their own, and
with validation rows in place of test rows: nothing that an official row is judged by is looked at. The first trial is
the default; the others lie in the method's space (``spaces.py``). Tasks that share their defaults are tuned as one: a
setting is worth what it is worth on the worst of all draws and tasks, which keeps luck on one of them from winning.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from mubench.hub_builders.answers import Answers
from mubench.hub_builders.columns import aligned
from mubench.hub_builders.folders import read_run, work_folder
from mubench.hub_builders.load import task_info
from mubench.hub_builders.tasks import BACKBONES, Kind, get_task
from mubench.hub_builders.terms import NonFiniteError
from mubench.trainers.judge import find_flags
from mubench.trainers.metrics import Case, Views
from mubench.trainers.metrics.accuracy import guessed
from mubench.trainers.metrics.score import parts
from mubench.trainers.references import Group, find_group
from mubench.trainers.run import Request, plan_run, unlearn
from mubench.trainers.scoring import passes
from mubench.trainers.spaces import space_of
from mubench.trainers.sweep import QUIET, Place, Sweep
from mubench.trainers.trials import Study, Trial, read_trials, write_trials
from mubench.trainers.workers import Workers

# A trial may cost this share of retraining, in passes: a mini model is retrained in a dozen epochs, of which a tenth
# is hardly one. What costs more is no unlearning.
SPENT = 0.5
HEAD = ("kind", "family", "method", "trials", "default S", "best S", "arguments of the best")


def defaults_key(sweep: Sweep) -> tuple[Kind, str]:
    """Return the kind of task and the backbone family, by which defaults are kept."""
    return get_task(sweep.task).kind, BACKBONES[sweep.backbones[0]].family


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tuning:
    """Which methods to tune, and on what.

    Attributes:
        sweeps: Tasks and draws, of one kind of task and backbone family; of their seeds the first is taken.
        methods: Method keys; none is every method that all of them have.
        trials: Settings a method, the default among them.
        out: Folder of the trials.
    """

    sweeps: Sequence[Sweep]
    methods: Sequence[str] = ()
    trials: int = 16
    out: Path = Path("tuning")

    @property
    def key(self) -> tuple[Kind, str]:
        """Kind of task and backbone family, for which the defaults are."""
        return defaults_key(self.sweeps[0])

    def check(self) -> None:
        """Find out what cannot work before anything is trained.

        Raises:
            ValueError: If data are the published deletion, or what `Sweep.check` says.
        """
        for sweep in self.sweeps:
            dataclasses.replace(sweep, methods=self.methods).check()
            if task_info(sweep.task, data=sweep.place.data, family=sweep.place.family).deletion_seed == 0:
                raise ValueError(
                    f"expected another draw of the rows to forget than the published one, got {sweep.place.data}; "
                    "make it with: python -m mubench.hub_builders build --deletion_seed 1"
                )
        if self.trials < 1:
            raise ValueError(f"trials must be 1 or more, got {self.trials}")

    def jobs(self) -> list[TuneMethod]:
        """Return a job for every method."""
        made_for = [sweep.made_for(sweep.backbones[0], self.methods) for sweep in self.sweeps]
        return [TuneMethod(self, key) for key in made_for[0] if all(key in others for others in made_for)]


def validation_score(model: Views, retrained: Sequence[Views], bases: Sequence[Views]) -> float:
    """Return S with validation rows in place of test rows, or where S is 0 how far beyond it is: 0 down to -1.

    Args:
        model: Views of the judged model: ``forget``, ``retain``, ``validation``; no other is looked at.
        retrained: Views of the retrained models.
        bases: Views of the base models.
    """
    others = [_validated(views) for views in retrained]
    case = Case(_validated(model), others, [_validated(views) for views in bases], guessed(others[0]["test"]))
    found = parts(case)
    worst = max(found.row, found.mean, found.membership, found.utility)
    return float(found.score) or max(-1.0, min(0.0, 1 - worst))


def _validated(views: Views) -> dict[str, Answers]:
    return {"forget": views["forget"], "retain": views["retain"], "test": views["validation"]}


@dataclasses.dataclass(frozen=True)
class _References:
    group: Group
    retrained: Sequence[Views]
    bases: Sequence[Views]
    passes: float


@lru_cache(maxsize=8)
def _references(place: Place, task: str, backbone: str, ratio: int) -> _References:
    group = find_group(place.bench(task, backbone), ratio, place.models)
    group.require()
    retrained, bases = ([group.views(one) for one in side.values()] for side in (group.retrained, group.bases))
    costs = [passes(read_run(folder).cost) for folder in group.retrained.values()]
    return _References(group, retrained, bases, sum(costs) / len(costs))


@dataclasses.dataclass(frozen=True)
class TuneMethod:
    """The trials of one method; those that are on disk are not made again.

    Attributes:
        tuning: What is tuned.
        method: Method key.
    """

    tuning: Tuning
    method: str

    @property
    def path(self) -> Path:
        """File of the trials."""
        kind, family = self.tuning.key
        return self.tuning.out / f"{kind}-{family}-del{self.tuning.sweeps[0].ratio}-{self.method}.json"

    @property
    def defaults(self) -> dict[str, Any]:
        """The method's defaults, of what tuning may change."""
        plain = self._request(self.tuning.sweeps[0], {}).training_arguments("", plain=True)
        return {name: getattr(plain, name) for name in space_of(self.method)}

    @property
    def about(self) -> dict[str, Any]:
        """What the trials depend on: tasks, draws, seeds and the defaults that they start from."""
        return {"draws": [_described(sweep) for sweep in self.tuning.sweeps], "defaults": self.defaults}

    def __call__(self) -> Path:
        about, space = self.about, space_of(self.method)
        done = read_trials(self.path, about)
        while len(done) < self.tuning.trials:  # a study anew each time: trials do not depend on interruptions
            arguments = Study(space, about["defaults"], done).next() if done else {}
            done.append(self._trial(arguments, max((trial.value for trial in done), default=-1.0)))
            write_trials(self.path, about, done)
        return self.path

    def _request(self, sweep: Sweep, arguments: Mapping[str, Any]) -> Request:
        return Request(
            bench=sweep.place.bench(sweep.task, sweep.backbones[0]),
            method=self.method,
            ratio=sweep.ratio,
            base_seed=sweep.base_seeds[0],
            seed=sweep.seeds[0],
            arguments={**QUIET, **arguments},
            models=sweep.place.models,
        )

    def _trial(self, arguments: dict[str, Any], best: float) -> Trial:
        """Return the worst trial of all tasks and draws; once that is no better than ``best``, the rest is spared."""
        worst = self._trial_on(self.tuning.sweeps[0], arguments)
        for sweep in self.tuning.sweeps[1:]:
            if worst.value <= best:
                break
            worst = min(worst, self._trial_on(sweep, arguments), key=lambda trial: trial.value)
        return worst

    def _trial_on(self, sweep: Sweep, arguments: dict[str, Any]) -> Trial:
        """Run a setting, judge it and remove the model."""
        references = _references(sweep.place, sweep.task, sweep.backbones[0], sweep.ratio)
        request = self._request(sweep, arguments)
        try:
            folder = unlearn(request)
        except NonFiniteError:
            run = plan_run(request)
            shutil.rmtree(work_folder(request.folder(run), run))
            return Trial(arguments, -1.0, note="diverged")
        model, spent = references.group.views(folder), passes(read_run(folder).cost) / references.passes
        shutil.rmtree(folder)
        if notes := [*find_flags(_validated(model), []), *(["too dear"] if spent > SPENT else [])]:
            return Trial(arguments, -1.0, spent, notes[0])
        return Trial(arguments, validation_score(model, references.retrained, references.bases), spent)


def _described(sweep: Sweep) -> str:
    info = task_info(sweep.task, data=sweep.place.data, family=sweep.place.family)
    seeds = f"base seed {sweep.base_seeds[0]}, run seed {sweep.seeds[0]}, retrained {sweep.retrain_seeds}"
    return f"{sweep.task}, {info.family} family, deletion seed {info.deletion_seed}, split {info.split[:12]}, {seeds}"


def together(sweeps: Sequence[Sweep], **kwargs: Any) -> list[Tuning]:
    """Return a tuning for every kind of task and backbone family among sweeps.

    Args:
        sweeps: Tasks and draws.
        kwargs: The other attributes of `Tuning`.
    """
    found: dict[tuple[Kind, str], list[Sweep]] = {}
    for sweep in sweeps:
        found.setdefault(defaults_key(sweep), []).append(sweep)
    return [Tuning(sweeps=alike, **kwargs) for alike in found.values()]


def tune(tunings: Sequence[Tuning], *, workers: int = 2) -> list[str]:
    """Tune under one progress bar, and return the lines of a table of the best settings.

    Raises:
        ValueError: If a task, backbone, method or ratio is unknown, or the data are the published deletion.
        FileNotFoundError: If the data are not there.
        NonFiniteError: If a reference diverged.
    """
    for tuning in tunings:
        tuning.check()
    searches = [job for tuning in tunings for job in tuning.jobs()]
    sweeps = [sweep for tuning in tunings for sweep in tuning.sweeps]
    with Workers(workers) as pool:
        references = [job for sweep in sweeps for job in sweep.references(methods=("retrain",))]
        if diverged := pool.run(references, "references"):
            raise NonFiniteError(f"{len(diverged)} references diverged: {'; '.join(sorted(diverged))}")
        pool.run(searches, "tuning")
    return aligned([HEAD, *(_line(job) for job in searches)], left=(0, 1, 2, 6))


def _line(job: TuneMethod) -> tuple[str, ...]:
    trials = read_trials(job.path, job.about)
    best = max(trials, key=lambda trial: trial.value)
    told = ", ".join(f"{name}={value}" for name, value in best.arguments.items()) or "the default"
    scores = (f"{max(trial.value, 0.0):.2f}" for trial in (trials[0], best))
    return (*job.tuning.key, job.method, str(len(trials)), *scores, told)
