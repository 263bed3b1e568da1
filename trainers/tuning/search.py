"""The trials of one method: each setting is run on proxy requests, judged on validation rows, and removed."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Generator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from mubench.hub_builders.dataset.load import task_info
from mubench.hub_builders.hub.model_folder import read_run, work_folder
from mubench.hub_builders.tasks import Kind
from mubench.hub_builders.tasks.own_backbones import defaults_family
from mubench.hub_builders.utils.atomic import WORK, owned
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.evaluation.judge import find_flags
from mubench.trainers.evaluation.judge_runs import passes
from mubench.trainers.evaluation.validation_score import ValidationScore, validation_as_test
from mubench.trainers.runs.method_files import custom_methods
from mubench.trainers.runs.method_table import CUSTOM
from mubench.trainers.runs.run import unlearn
from mubench.trainers.sweeps.jobs import MethodJob, Place
from mubench.trainers.sweeps.sweep import Sweep
from mubench.trainers.tools.adversarial import NoAdversarialInputError
from mubench.trainers.tuning.spaces import space_of
from mubench.trainers.tuning.trials import (
    DIVERGED,
    Trial,
    best_trial,
    merge_trials,
    read_trials,
    suggest,
    write_trials,
)

# What all trials of a method may cost, and one of them at most, as shares of the passes of retraining: every method
# has the same upper limit, and what costs more is no unlearning. The published defaults are tried at any cost, and
# what a setting really cost is known after it.
BUDGET = 1.0
LIMIT = 0.25
EPOCHS = "num_train_epochs"
# Suggestions until one differs from all trials; a small space has no more.
DRAWS = 20
# A trial that is this far below the best one after the first requests seldom catches up on the others.
MARGIN = 0.25


def defaults_key(sweep: Sweep) -> tuple[Kind, str]:
    """Return the kind of task and the backbone family that a sweep's defaults are of."""
    return sweep.row.kind, defaults_family(sweep.backbones[0], sweep.row.recipes)


@lru_cache(maxsize=8)
def _read_references(place: Place, task: str, backbone: str, ratio: int) -> tuple[ValidationScore, float]:
    """Return the score beside the references of a proxy request, and the mean passes of a retrained model."""
    group = place.group(task, backbone, ratio)
    costs = [passes(group.runs[folder].cost) for folder in group.retrained.values()]
    return ValidationScore(group), sum(costs) / len(costs)


@dataclasses.dataclass(frozen=True)
class TrialJob:
    """A setting on one proxy request: run, judged on validation rows, and its model removed.

    Attributes:
        run: The run, which a sweep makes in the same way.
    """

    run: MethodJob

    def __call__(self) -> Trial:
        """Return what the setting scored and cost; a run that comes to nothing is a trial, too."""
        with custom_methods(self.run.place.method_file):
            return self._try()

    def _try(self) -> Trial:
        run, arguments = self.run, dict(self.run.given)
        score, whole = _read_references(run.place, run.task, run.backbone, run.ratio)
        plan = run.plan()
        try:
            folder = unlearn(plan)
        except (NonFiniteError, NoAdversarialInputError) as error:
            shutil.rmtree(work_folder(plan.folder, plan.run))
            return Trial(arguments, [-1.0], note=DIVERGED if isinstance(error, NonFiniteError) else "nothing near")
        model, spent = score.group.outputs(folder), passes(read_run(folder).cost) / whole
        shutil.rmtree(folder)
        too_dear = ["too dear"] if arguments and spent > LIMIT else []
        if notes := [*find_flags(validation_as_test(model), []), *too_dear]:
            return Trial(arguments, [-1.0], spent, notes[0])
        return Trial(arguments, [score(model)], spent)


# The jobs of the trials of a method; what each found is sent back.
Search = Generator[TrialJob, Trial | None, None]


@dataclasses.dataclass(frozen=True)
class TuneMethod:
    """The trials of one method; those on disk are not repeated.

    Attributes:
        sweeps: Proxy requests of one kind of task and backbone family; only the first of their seeds is used.
        method: Method key.
        trials: Number of settings at most, the default included.
        out: Folder of the trials and grids.
    """

    sweeps: Sequence[Sweep]
    method: str
    trials: int
    out: Path

    @property
    def stem(self) -> str:
        """What the names of files about any method on these tasks start with."""
        kind, family = defaults_key(self.sweeps[0])
        return f"{kind}-{family}-del{self.sweeps[0].ratio}"

    @property
    def path(self) -> Path:
        """File of the trials."""
        return self.out / f"{self.stem}-{self.method}.json"

    @property
    def defaults(self) -> dict[str, Any]:
        """The defaults of the arguments in the search space."""
        plain = self._job(self.sweeps[0], {}).run.request().training_arguments()
        return {name: getattr(plain, name) for name in space_of(self.method)}

    @property
    def about(self) -> dict[str, Any]:
        """Proxy requests, seeds and defaults that the trials depend on."""
        own = {"method_file": CUSTOM[self.method].sha256} if self.method in CUSTOM else {}
        return {"draws": [_describe(sweep) for sweep in self.sweeps], "defaults": self.defaults, **own}

    def __call__(self) -> Path:
        """Run all trials in this process, and return their file."""
        search = self.search()
        with contextlib.suppress(StopIteration):
            job = next(search)
            while True:
                job = search.send(job())
        return self.path

    def search(self) -> Search:
        """Yield the jobs of the trials that are missing, one after the other, and take what each found.

        It ends when the budget of passes does not hold the next trial, or nothing new is left to try.
        """
        lock = self.sweeps[0].place.models / WORK / f"{self.path.name}.lock"
        with owned(lock):  # another search would remove the models of this one's trials
            about = self.about
            done = read_trials(self.path, about)
            while len(done) < self.trials and (arguments := self._next(about["defaults"], done)) is not None:
                trial = yield from self._trial(arguments, best_trial(done) if done else None)
                done.append(self._charge(trial, done))
                write_trials(self.path, about, done)

    def _next(self, defaults: Mapping[str, Any], done: Sequence[Trial]) -> dict[str, Any] | None:
        """Return the next setting; ``None`` if what is left of the budget is less than it costs, or if none is new.

        A new study each time: trials do not depend on interruptions.
        """
        if not done:
            return {}
        tried = [{**defaults, **trial.arguments} for trial in done]
        for draw in range(DRAWS):
            arguments = suggest(space_of(self.method), defaults, done, draw)
            if EPOCHS in arguments and (cost := _cost(arguments, defaults, done)) > LIMIT:
                arguments[EPOCHS] = max(1, int(arguments[EPOCHS] * LIMIT / cost))
            if {**defaults, **arguments} not in tried:
                left = BUDGET - sum(trial.passes for trial in done)
                return arguments if _cost(arguments, defaults, done) <= min(left, LIMIT) else None
        return None

    @staticmethod
    def _charge(trial: Trial, done: Sequence[Trial]) -> Trial:
        """Return a trial with a cost if it has none, since it diverged: that of the first one."""
        if trial.note != DIVERGED or trial.passes:
            return trial
        return dataclasses.replace(trial, passes=done[0].passes if done else LIMIT)

    def _job(self, sweep: Sweep, arguments: Mapping[str, Any]) -> TrialJob:
        what = (sweep.place, sweep.task, sweep.backbones[0], sweep.ratio, self.method)
        return TrialJob(MethodJob(*what, sweep.base_seeds[0], sweep.seeds[0], tuple(arguments.items())))

    def _trial(self, arguments: dict[str, Any], best: Trial | None) -> Generator[TrialJob, Trial | None, Trial]:
        """Try a setting on all requests; one that falls behind ``best`` on the first ones is not run on the others."""
        done: list[Trial] = []
        for sweep in self.sweeps:
            found = yield self._job(sweep, arguments)
            assert found is not None
            done.append(found)
            trial = merge_trials(done)
            if trial.note or (best is not None and trial.value < _bar(best, len(done))):
                break
        return trial


def _cost(arguments: Mapping[str, Any], defaults: Mapping[str, Any], done: Sequence[Trial]) -> float:
    """Return the passes of a setting, from those of the defaults: as many more as it has more epochs."""
    epochs = arguments[EPOCHS] / defaults[EPOCHS] if EPOCHS in arguments else 1.0
    return float(done[0].passes * epochs)


def _bar(best: Trial, count: int) -> float:
    """Return the score a trial needs after ``count`` requests, so low that no trial below it could be the best."""
    first = best.values[:count]
    return min(best.value, sum(first) / len(first)) - MARGIN


def _describe(sweep: Sweep) -> str:
    info = task_info(sweep.task, data=sweep.place.data, family=sweep.place.family)
    seeds = f"base seed {sweep.base_seeds[0]}, run seed {sweep.seeds[0]}, retrained {sweep.retrain_seeds}"
    what = f"{sweep.task}, {sweep.backbones[0]}, {info.family} family"
    evaluation = f", evaluation seed {sweep.place.eval_seed}" if sweep.place.eval_seed else ""
    return f"{what}, deletion seed {info.deletion_seed}, split {info.split[:12]}, {seeds}{evaluation}"
