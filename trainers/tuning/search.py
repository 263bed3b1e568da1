"""The trials of one method: each setting is run on proxy requests, judged on validation rows, and removed."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from mubench.hub_builders.dataset.load import task_info
from mubench.hub_builders.hub.model_folder import read_run, work_folder
from mubench.hub_builders.tasks import BACKBONES, Kind, get_task
from mubench.hub_builders.utils.atomic import WORK, owned
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.evaluation.judge import find_flags
from mubench.trainers.evaluation.judge_runs import passes
from mubench.trainers.evaluation.validation_score import ValidationScore, validation_as_test
from mubench.trainers.runs.plan import UnlearningRequest, resolve
from mubench.trainers.runs.run import unlearn
from mubench.trainers.sweeps.sweep import QUIET, Place, Sweep
from mubench.trainers.tools.adversarial import NoAdversarialInputError
from mubench.trainers.tuning.spaces import space_of
from mubench.trainers.tuning.trials import Trial, merge_trials, read_trials, suggest, write_trials

# Passes of a trial at most, as a share of retraining: what costs more is no unlearning. A mini model is retrained in a
# dozen epochs, of which a tenth is hardly one.
SPENT = 0.5
# A trial that is this far below the best one after the first requests seldom catches up on the others.
MARGIN = 0.25


def defaults_key(sweep: Sweep) -> tuple[Kind, str]:
    """Return the kind of task and the backbone family that a sweep's defaults are of."""
    return get_task(sweep.task).kind, BACKBONES[sweep.backbones[0]].family


@lru_cache(maxsize=8)
def _read_references(place: Place, task: str, backbone: str, ratio: int) -> tuple[ValidationScore, float]:
    """Return the score beside the references of a proxy request, and the mean passes of a retrained model."""
    group = place.group(task, backbone, ratio)
    costs = [passes(group.runs[folder].cost) for folder in group.retrained.values()]
    return ValidationScore(group), sum(costs) / len(costs)


@dataclasses.dataclass(frozen=True)
class TuneMethod:
    """The trials of one method; those on disk are not repeated.

    Attributes:
        sweeps: Proxy requests of one kind of task and backbone family; only the first of their seeds is used.
        method: Method key.
        trials: Number of settings, the default included.
        out: Folder of the trials.
    """

    sweeps: Sequence[Sweep]
    method: str
    trials: int
    out: Path

    @property
    def path(self) -> Path:
        """File of the trials."""
        kind, family = defaults_key(self.sweeps[0])
        return self.out / f"{kind}-{family}-del{self.sweeps[0].ratio}-{self.method}.json"

    @property
    def defaults(self) -> dict[str, Any]:
        """The defaults of the arguments in the search space."""
        plain = self._request(self.sweeps[0], {}).training_arguments()
        return {name: getattr(plain, name) for name in space_of(self.method)}

    @property
    def about(self) -> dict[str, Any]:
        """Proxy requests, seeds and defaults that the trials depend on."""
        return {"draws": [_describe(sweep) for sweep in self.sweeps], "defaults": self.defaults}

    def __call__(self) -> Path:
        lock = self.sweeps[0].place.models / WORK / f"{self.path.name}.lock"
        with owned(lock):  # another search would remove the models of this one's trials
            return self._search()

    def _search(self) -> Path:
        about, space = self.about, space_of(self.method)
        done = read_trials(self.path, about)
        while len(done) < self.trials:  # a new study each time: trials do not depend on interruptions
            arguments = suggest(space, about["defaults"], done) if done else {}
            done.append(self._trial(arguments, max(done, key=lambda trial: trial.value, default=None)))
            write_trials(self.path, about, done)
        return self.path

    def _request(self, sweep: Sweep, arguments: Mapping[str, Any]) -> UnlearningRequest:
        seeds = {"base_seed": sweep.base_seeds[0], "seed": sweep.seeds[0]}
        what = {"method": self.method, "ratio": sweep.ratio, "arguments": {**QUIET, **arguments}}
        return sweep.place.request(sweep.task, sweep.backbones[0], **what, **seeds)

    def _trial(self, arguments: dict[str, Any], best: Trial | None) -> Trial:
        """Run a setting on all requests; one that falls behind ``best`` on the first ones is not run on the others."""
        done: list[Trial] = []
        for sweep in self.sweeps:
            done.append(self._trial_on(sweep, arguments))
            trial = merge_trials(done)
            if trial.note or (best is not None and trial.value < _bar(best, len(done))):
                break
        return trial

    def _trial_on(self, sweep: Sweep, arguments: dict[str, Any]) -> Trial:
        """Run a setting on one request, judge it and remove the model."""
        score, whole = _read_references(sweep.place, sweep.task, sweep.backbones[0], sweep.ratio)
        plan = resolve(self._request(sweep, arguments))
        try:
            folder = unlearn(plan)
        except (NonFiniteError, NoAdversarialInputError) as error:
            shutil.rmtree(work_folder(plan.folder, plan.run))
            return Trial(arguments, [-1.0], note="diverged" if isinstance(error, NonFiniteError) else "nothing near")
        model, spent = score.group.outputs(folder), passes(read_run(folder).cost) / whole
        shutil.rmtree(folder)
        if notes := [*find_flags(validation_as_test(model), []), *(["too dear"] if spent > SPENT else [])]:
            return Trial(arguments, [-1.0], spent, notes[0])
        return Trial(arguments, [score(model)], spent)


def _bar(best: Trial, count: int) -> float:
    """Return the score a trial needs after ``count`` requests, so low that no trial below it could be the best."""
    first = best.values[:count]
    return min(best.value, sum(first) / len(first)) - MARGIN


def _describe(sweep: Sweep) -> str:
    info = task_info(sweep.task, data=sweep.place.data, family=sweep.place.family)
    seeds = f"base seed {sweep.base_seeds[0]}, run seed {sweep.seeds[0]}, retrained {sweep.retrain_seeds}"
    return f"{sweep.task}, {info.family} family, deletion seed {info.deletion_seed}, split {info.split[:12]}, {seeds}"
