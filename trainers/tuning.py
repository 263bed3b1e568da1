"""Tuning of method arguments: an equal number of trials a method, against retrained models that are not the official.

Everything happens on another draw of the rows to forget (``build --deletion_seed 1``), with models of its own, and
with validation rows in place of test rows: nothing that an official row is judged by is looked at. The first trial is
the default; the others lie in the method's space (``spaces.py``).
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
HEAD = ("task", "backbone", "method", "trials", "default S", "best S", "arguments of the best")


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

    @property
    def backbone(self) -> str:
        """The backbone that is tuned."""
        return self.sweep.backbones[0]

    def check(self) -> None:
        """Find out what cannot work before anything is trained.

        Raises:
            ValueError: If the data are the published deletion, or what `Sweep.check` says.
        """
        self.sweep.check()
        place = self.sweep.place
        if task_info(self.sweep.task, data=place.data, family=place.family).deletion_seed == 0:
            raise ValueError(
                f"expected another draw of the rows to forget than the published one, got {place.data}; "
                "make it with: python -m mubench.hub_builders build --deletion_seed 1"
            )
        if self.trials < 1:
            raise ValueError(f"trials must be 1 or more, got {self.trials}")

    def jobs(self) -> list[TuneMethod]:
        """Return a job for every method."""
        return [TuneMethod(self, method) for method in self.sweep.methods or self.sweep.made_for(self.backbone)]


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


@lru_cache(maxsize=4)
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
        sweep = self.tuning.sweep
        return self.tuning.out / f"{sweep.task}-{self.tuning.backbone}-del{sweep.ratio}-{self.method}.json"

    def __call__(self) -> Path:
        done = read_trials(self.path)
        if not done:
            self._add(done, {})
        if len(done) < self.tuning.trials:
            plain, space = self._request({}).training_arguments("", plain=True), space_of(self.method)
            usual = {name: getattr(plain, name) for name in space}
            while len(done) < self.tuning.trials:  # a study anew each time: trials do not depend on interruptions
                self._add(done, Study(space, usual, done).next())
        return self.path

    def _add(self, done: list[Trial], arguments: dict[str, Any]) -> None:
        done.append(self._trial(arguments))
        write_trials(self.path, done)

    def _request(self, arguments: Mapping[str, Any]) -> Request:
        sweep = self.tuning.sweep
        return Request(
            bench=sweep.place.bench(sweep.task, self.tuning.backbone),
            method=self.method,
            ratio=sweep.ratio,
            base_seed=sweep.base_seeds[0],
            seed=sweep.seeds[0],
            arguments={**QUIET, **arguments},
            models=sweep.place.models,
        )

    def _trial(self, arguments: dict[str, Any]) -> Trial:
        """Run a setting, judge it and remove the model."""
        sweep = self.tuning.sweep
        references = _references(sweep.place, sweep.task, self.tuning.backbone, sweep.ratio)
        request = self._request(arguments)
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
    with Workers(workers) as pool:
        references = [job for tuning in tunings for job in tuning.sweep.references(methods=("retrain",))]
        if diverged := pool.run(references, "references"):
            raise NonFiniteError(f"{len(diverged)} references diverged: {'; '.join(sorted(diverged))}")
        pool.run(searches, "tuning")
    return aligned([HEAD, *(_line(job) for job in searches)], left=(0, 1, 2, 6))


def _line(job: TuneMethod) -> tuple[str, ...]:
    trials = read_trials(job.path)
    best = max(trials, key=lambda trial: trial.value)
    told = ", ".join(f"{name}={value}" for name, value in best.arguments.items()) or "the default"
    scores = (f"{max(trial.value, 0.0):.2f}" for trial in (trials[0], best))
    return (job.tuning.sweep.task, job.tuning.backbone, job.method, str(len(trials)), *scores, told)
