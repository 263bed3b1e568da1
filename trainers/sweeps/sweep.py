"""Many runs of one task: references first, then methods, then judging, on a few persistent worker processes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from mubench.hub_builders.dataset.load import task_info
from mubench.hub_builders.tasks import get_recipe, get_task
from mubench.hub_builders.tasks.names import DATASET
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.evaluation.judge_runs import Judge
from mubench.trainers.evaluation.references import Group, find_group
from mubench.trainers.methods import METHODS
from mubench.trainers.models.base_models import train_base
from mubench.trainers.models.setting import Setting, load_setting
from mubench.trainers.runs.method_table import check_request, get_method, methods_for, methods_on
from mubench.trainers.runs.plan import UnlearningRequest, resolve
from mubench.trainers.runs.run import unlearn
from mubench.trainers.sweeps.worker_pool import Workers

# Short runs gain nothing from checkpoints; a long one is its own command, with checkpoints on.
QUIET: dict[str, Any] = {"save_strategy": "no", "disable_tqdm": True}
# The compute-matched curve: percentages of the recipe's passes, at one seed each. Other controls take this many seeds.
CURVE = (2, 5, 10, 20, 50)
CONTROL_SEEDS = 3


@dataclass(frozen=True, kw_only=True)
class Place:
    """Data, models and results of a sweep.

    Attributes:
        data: Dataset folder or Hub id.
        family: Deletion family.
        eval_seed: Seed of the images that models generate.
        models: Folder of all models.
        results: Folder of the rows.
    """

    data: str = DATASET
    family: str = "canonical"
    eval_seed: int = 0
    models: Path = Path("models")
    results: Path = Path("results")

    def setting(self, task: str, backbone: str) -> Setting:
        """Return the setting of a task and backbone."""
        return load_setting(task, backbone, data=self.data, family=self.family, eval_seed=self.eval_seed)

    def group(self, task: str, backbone: str, ratio: int) -> Group:
        """Return the finished runs on a task, backbone and ratio."""
        return find_group(self.setting(task, backbone), ratio, self.models)

    def request(self, task: str, backbone: str, **fields: Any) -> UnlearningRequest:
        """Return a request on a task and backbone; ``fields`` are the others of `UnlearningRequest`."""
        return UnlearningRequest(setting=self.setting(task, backbone), models=self.models, **fields)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A grid of runs.

    Attributes:
        task: Task key.
        ratio: Percentage to delete.
        backbones: Backbone keys.
        base_seeds: Seeds of the base models.
        retrain_seeds: Seeds of the retrained models; controls from fresh models take the first of them.
        methods: Method keys; empty takes all but references and controls.
        seeds: Seeds of the unlearning runs, from every base model.
        place: Data, models and results.
    """

    task: str
    ratio: int
    backbones: Sequence[str]
    base_seeds: Sequence[int]
    retrain_seeds: Sequence[int]
    methods: Sequence[str] = ()
    seeds: Sequence[int] = ()
    place: Place = field(default_factory=Place)

    def check(self) -> None:
        """Check the grid before anything is trained.

        Raises:
            ValueError: If a key is unknown, the data have no such ratio, or a method is a reference or a control, or
                not made for what there is to forget.
            FileNotFoundError: If the data are not there.
        """
        for key in self.methods:
            if get_method(key).from_scratch:
                raise ValueError(f"expected methods that start from a base model, got {key!r}: it is a reference")
        for backbone in self.backbones:
            get_recipe(get_task(self.task), backbone)
        info = task_info(self.task, data=self.place.data, family=self.place.family)
        info.forget_size(self.ratio)
        for key, backbone in itertools.product(self.methods, self.backbones):
            check_request(key, self.place.setting(self.task, backbone), self.ratio)
        for seeds in (self.backbones, self.methods, self.base_seeds, self.retrain_seeds, self.seeds):
            if len(set(seeds)) != len(seeds):
                raise ValueError(f"expected each backbone, method and seed once, got {' '.join(map(str, seeds))}")

    def references(self, methods: Sequence[str] = ()) -> list[_Base | _Method]:
        """Return the jobs of base models and of runs from fresh models: retrained ones and controls.

        Args:
            methods: Method keys of the latter; none is all.
        """
        scratch = methods or [key for key in methods_for(get_task(self.task).kind) if METHODS[key].from_scratch]
        jobs: list[_Base | _Method] = []
        for backbone in self.backbones:
            jobs += [_Base(self.place, self.task, backbone, seed) for seed in self.base_seeds]
            what = (self.place, self.task, backbone, self.ratio)
            jobs += [_Method(*what, key, seed, 0, given) for key in scratch for seed, given in self._scratch_runs(key)]
        return jobs

    def _scratch_runs(self, method: str) -> list[tuple[int, tuple[tuple[str, Any], ...]]]:
        """Return seed and arguments of the runs of a reference or a control."""
        if method == "retrain_at":
            return [(seed, (("percent", percent),)) for seed in self.retrain_seeds[:1] for percent in CURVE]
        seeds = self.retrain_seeds if method == "retrain" else self.retrain_seeds[:CONTROL_SEEDS]
        return [(seed, ()) for seed in seeds]

    def unlearning(self) -> list[_Method]:
        """Return the jobs of unlearning runs."""
        return [
            _Method(self.place, self.task, b, self.ratio, key, base, seed)
            for b in self.backbones
            for key in self.methods or self.find_methods(b)
            for base in self.base_seeds
            for seed in self.seeds
        ]

    def find_methods(self, backbone: str) -> list[str]:
        """Return those of its methods, by default all, that change a trained model and apply to all it is about."""
        known = [key for key in methods_for(get_task(self.task).kind, backbone) if not METHODS[key].from_scratch]
        keys = [key for key in known if not self.methods or key in self.methods]
        if not any(METHODS[key].whole_classes for key in keys):  # the rows need not be read
            return keys
        there = methods_on(self.place.setting(self.task, backbone), self.ratio)
        return [key for key in keys if key in there]

    def judging(self) -> list[_Judge]:
        """Return the jobs that judge finished runs."""
        jobs = []
        for backbone in self.backbones:
            group = self.place.group(self.task, backbone, self.ratio)
            group.require()
            what = (self.place, self.task, backbone, self.ratio)
            jobs += [_Judge(*what, folder) for folder in (None, *group.unlearned)]
        return jobs


@dataclass(frozen=True)
class _Base:
    place: Place
    task: str
    backbone: str
    seed: int

    def __call__(self) -> Path:
        return train_base(self.place.setting(self.task, self.backbone), self.seed, models=self.place.models, **QUIET)


@dataclass(frozen=True)
class _Method:
    place: Place
    task: str
    backbone: str
    ratio: int
    method: str
    base_seed: int
    seed: int
    given: tuple[tuple[str, Any], ...] = ()

    def __call__(self) -> Path:
        what = {"method": self.method, "ratio": self.ratio, "base_seed": self.base_seed, "seed": self.seed}
        arguments = {**QUIET, **dict(self.given)}
        return unlearn(resolve(self.place.request(self.task, self.backbone, **what, arguments=arguments)))


@dataclass(frozen=True)
class _Judge:
    place: Place
    task: str
    backbone: str
    ratio: int
    folder: Path | None

    def __call__(self) -> Path | list[Path]:
        judge = _judge(self.place, self.task, self.backbone, self.ratio)
        return judge.controls() if self.folder is None else judge.run(self.folder)


@lru_cache(maxsize=4)
def _judge(place: Place, task: str, backbone: str, ratio: int) -> Judge:
    return Judge(place.group(task, backbone, ratio), place.results)


def run_sweep(*sweeps: Sweep, workers: int = 2) -> None:
    """Run what is left of sweeps with one pool of workers, step by step: references, methods, rows.

    Raises:
        NonFiniteError: If runs diverged, or found no other class near; all others are finished and judged.
    """
    for sweep in sweeps:
        sweep.check()
    with Workers(workers) as pool:
        failed = pool.run([job for sweep in sweeps for job in sweep.references()], "references")
        judged = [sweep for sweep in sweeps if sweep.seeds]
        if judged and not failed:
            failed = pool.run([job for sweep in judged for job in sweep.unlearning()], "unlearning")
            pool.run([job for sweep in judged for job in sweep.judging()], "judging")
    if failed:
        raise NonFiniteError(f"{len(failed)} runs came to nothing and have no row: {'; '.join(sorted(failed))}")
