"""Jobs: one base model, one run or one judgement each, the same objects on every executor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

from mubench.hub_builders.dataset.task_info import find_task, locate
from mubench.hub_builders.tasks.names import DATASET, fingerprint
from mubench.trainers.evaluation.group import Group, find_group
from mubench.trainers.evaluation.judge_runs import Judge
from mubench.trainers.methods import METHODS
from mubench.trainers.models.backbones import find_backbone, recall_backbone
from mubench.trainers.models.base_models import base_name, is_finished_base, train_base
from mubench.trainers.models.setting import Setting, load_setting
from mubench.trainers.runs.method_files import MethodFile
from mubench.trainers.runs.plan import Plan, UnlearningRequest, resolve
from mubench.trainers.runs.run import unlearn

# Short runs gain nothing from checkpoints; a long one is its own command, with checkpoints on.
QUIET: dict[str, Any] = {"save_strategy": "no", "disable_tqdm": True}
Given = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Data, models and results of a sweep.

    Attributes:
        data: Dataset folder or Hub id.
        family: Deletion family.
        eval_seed: Seed of the images that models generate.
        models: Folder of all models.
        results: Folder of the rows.
        method_file: File of custom methods, which every process that runs jobs adds to the table.
    """

    data: str = DATASET
    family: str = "canonical"
    eval_seed: int = 0
    models: Path = Path("models")
    results: Path = Path("results")
    method_file: MethodFile | None = None

    @property
    def folder(self) -> str:
        """Folder or repository of the family: ``mu-bench`` stands for that of any."""
        return locate(self.data, self.family)

    def setting(self, task: str, backbone: str) -> Setting:
        """Return the setting of a task and backbone."""
        recall_backbone(backbone, self.models)
        return load_setting(task, backbone, data=self.data, family=self.family, eval_seed=self.eval_seed)

    def backbones(self, task: str, given: Sequence[str | None]) -> list[str]:
        """Return the keys of backbones of a task; errors are those of `find_backbone`."""
        found = find_task(task, data=self.data, family=self.family)
        return [find_backbone(one, found, self.models) for one in given]

    def group(self, task: str, backbone: str, ratio: int) -> Group:
        """Return the finished runs on a task, backbone and ratio."""
        return find_group(self.setting(task, backbone), ratio, self.models)

    def request(self, task: str, backbone: str, **fields: Any) -> UnlearningRequest:
        """Return a request on a task and backbone; ``fields`` are the others of `UnlearningRequest`."""
        return UnlearningRequest(setting=self.setting(task, backbone), models=self.models, **fields)

    def absolute(self) -> Place:
        """Return the same place by absolute paths; a Hub id stays."""
        is_local = "/" not in self.data or Path(self.folder).is_dir()
        data = str(Path(self.data).absolute()) if is_local else self.data
        return replace(self, data=data, models=self.models.absolute(), results=self.results.absolute())

    def key(self, name: str, **about: Any) -> str:
        """Return a name that no other job in this folder of models has."""
        data = str(Path(self.folder).resolve()) if Path(self.folder).is_dir() else self.folder
        about |= {"data": data, "family": self.family, "eval_seed": self.eval_seed}
        return f"{name}-{fingerprint(about)[:8]}"


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes:
        value: What the job returned.
        failure: Why it failed, in one line; else empty.
        trace: Traceback of the failure; empty where a process died.
        owner: Process that works on the same run, which was left to it; else empty.
        recorded: Whether the failure is in the folder of models already.
    """

    value: Any = None
    failure: str = ""
    trace: str = ""
    owner: str = ""
    recorded: bool = False


class Job(Protocol):
    """What an executor runs: a callable that can be pickled."""

    def __call__(self) -> Any: ...


@dataclass(frozen=True)
class SweepJob(ABC):
    """A job on one task and backbone, and what it needs first.

    Attributes:
        place: Data, models and results.
        task: Task key.
        backbone: Backbone key.
    """

    place: Place
    task: str
    backbone: str

    @property
    @abstractmethod
    def stage(self) -> str:
        """Which bar of a sweep's progress counts the job."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Name of the job in its claim and its failure."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The job in a message."""

    @property
    def requires(self) -> tuple[str, ...]:
        """Keys of the jobs that must have succeeded before this one starts."""
        return ()

    @property
    def after(self) -> tuple[str, ...]:
        """Keys of the jobs that must have ended, successfully or not, before this one starts."""
        return ()

    @abstractmethod
    def __call__(self) -> Any:
        """Do the job; one that is done takes moments."""


@dataclass(frozen=True)
class BaseJob(SweepJob):
    """Trains a base model.

    Attributes:
        seed: Its seed.
    """

    seed: int

    @property
    def stage(self) -> str:
        return "references"

    @cached_property
    def key(self) -> str:
        return self.place.key(f"{self.task}-{self.backbone}-s{self.seed}")

    @property
    def label(self) -> str:
        return f"base of {self.task} {self.backbone} s{self.seed}"

    def is_done(self) -> bool:
        """Return whether the model is there; a damaged one is not, and the job reports it."""
        setting = self.place.setting(self.task, self.backbone)
        run = setting.run(ratio=None, base_seed=self.seed)
        try:
            return is_finished_base(self.place.models / base_name(run), run)
        except ValueError:
            return False

    def __call__(self) -> Path:
        """Train, and return the model's folder."""
        return train_base(self.place.setting(self.task, self.backbone), self.seed, models=self.place.models, **QUIET)


@dataclass(frozen=True)
class MethodJob(SweepJob):
    """Runs a method; from a fresh model, or from the base model of its seed.

    Attributes:
        ratio: Percentage to delete.
        method: Method key.
        base_seed: Seed of the base model.
        seed: Seed of the run.
        given: Arguments in place of the defaults.
        tuned: Whether these are the best that `tune` found.
        base: Key of the job that trains the base model; ``None`` for a method that starts from a fresh one.
    """

    ratio: int
    method: str
    base_seed: int
    seed: int
    given: Given = ()
    tuned: bool = field(default=False, compare=False)
    base: str | None = field(default=None, compare=False)

    @property
    def stage(self) -> str:
        return "references" if self.base is None else "unlearning"

    @cached_property
    def key(self) -> str:
        name = f"{self.task}-{self.backbone}-del{self.ratio}-{self.method}-b{self.base_seed}-s{self.seed}"
        file = None if self.method in METHODS else self.place.method_file  # a changed file is another run
        return self.place.key(name, given=dict(self.given), **({"method_file": file.sha256} if file else {}))

    @property
    def label(self) -> str:
        given = "".join(f" {name}={value}" for name, value in self.given)
        seeds = f"s{self.base_seed}" if self.base is None else f"b{self.base_seed} s{self.seed}"
        return f"{self.method} of {self.task} {self.backbone} del{self.ratio} {seeds}{given}"

    @property
    def requires(self) -> tuple[str, ...]:
        return () if self.base is None else (self.base,)

    def request(self) -> UnlearningRequest:
        """Return what is to be run."""
        what = {"method": self.method, "ratio": self.ratio, "base_seed": self.base_seed, "seed": self.seed}
        arguments = {**QUIET, **dict(self.given)}
        return self.place.request(self.task, self.backbone, **what, arguments=arguments, tuned=self.tuned)

    def plan(self) -> Plan:
        """Return the resolved request; errors are those of `resolve`."""
        return resolve(self.request())

    def is_done(self) -> bool:
        """Return whether the model is there; a request that cannot be resolved has none."""
        try:
            return self.plan().is_complete
        except (FileNotFoundError, ValueError):  # its base model is missing, or it fits neither the data nor the model
            return False

    def __call__(self) -> Path:
        """Run the method, and return the folder of its model."""
        return unlearn(self.plan())


@dataclass(frozen=True)
class JudgeJob(SweepJob):
    """Judges the model of a run once all references are there, those of which the row is about.

    Attributes:
        run: The run.
        references: Keys of the jobs of base and retrained models.
    """

    run: MethodJob
    references: tuple[str, ...]

    @property
    def stage(self) -> str:
        return "judging"

    @property
    def key(self) -> str:
        return f"judge-{self.run.key}"

    @property
    def label(self) -> str:
        return f"row of {self.run.label}"

    @property
    def requires(self) -> tuple[str, ...]:
        return (self.run.key, *self.references)

    def __call__(self) -> Path:
        """Judge, and return the row's path."""
        return _judge(self.place, self.task, self.backbone, self.run.ratio).run(self.run.plan().folder)


@dataclass(frozen=True)
class JudgeGroupJob(SweepJob):
    """Judges the controls without a run, and runs from elsewhere: a table is about one set of references.

    Attributes:
        ratio: Percentage deleted.
        references: Keys of the jobs of base and retrained models.
        runs: Keys of the jobs that judge the sweep's own runs.
        controls: Number of rows of controls without a run.
    """

    ratio: int
    references: tuple[str, ...]
    runs: tuple[str, ...]
    controls: int = 1

    @property
    def stage(self) -> str:
        return "judging"

    @property
    def key(self) -> str:
        return self.place.key(f"judge-{self.task}-{self.backbone}-del{self.ratio}")

    @property
    def label(self) -> str:
        return f"controls of {self.task} {self.backbone} del{self.ratio}"

    @property
    def requires(self) -> tuple[str, ...]:
        return self.references

    @property
    def after(self) -> tuple[str, ...]:
        return self.runs

    def __call__(self) -> list[Path]:
        """Judge, and return the paths of all rows."""
        judge = _judge(self.place, self.task, self.backbone, self.ratio)
        there = self.place.group(self.task, self.backbone, self.ratio).unlearned
        return [*judge.controls(), *(judge.run(folder) for folder in there)]


@lru_cache(maxsize=4)
def _judge(place: Place, task: str, backbone: str, ratio: int) -> Judge:
    return Judge(place.group(task, backbone, ratio), place.results)
