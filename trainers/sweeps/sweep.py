"""`Sweep`: a grid of runs on one task, from references to result rows, as jobs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mubench.hub_builders.dataset.task_info import find_task, info_of_tiers
from mubench.hub_builders.tasks import Task
from mubench.hub_builders.tasks.own_backbones import is_adopted, recipe_of
from mubench.hub_builders.utils.cli import did_you_mean
from mubench.trainers.engine.task_arguments import UNRECORDED, check_number_types
from mubench.trainers.evaluation.controls import CONTROLS, FROM_SCRATCH
from mubench.trainers.runs.defaults import recorded_names
from mubench.trainers.runs.method_table import check_request, get_method, method_table, methods_for, methods_on
from mubench.trainers.sweeps.estimates import JobCosts
from mubench.trainers.sweeps.executor import Executor
from mubench.trainers.sweeps.jobs import BaseJob, Given, JudgeGroupJob, JudgeJob, MethodJob, Place, SweepJob
from mubench.trainers.sweeps.schedule import Report, run_jobs

# The compute-matched curve: percentages of the recipe's passes, at one seed each. Other controls take this many seeds.
CURVE = (2, 5, 10, 20, 50)
CONTROL_SEEDS = 3
REFERENCE = "retrain"


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
        arguments: Arguments of methods in place of their defaults, by method.
        options: Sets of arguments of all methods; every run is made once with each.
        tuned: Whether the arguments of methods are the best that `tune` found, as their rows then say.
        controls: Controls from fresh models; ``None`` takes all.
        tiers: Tiers of the data that it is made for; empty takes any.
        place: Data, models and results.
    """

    task: str
    ratio: int
    backbones: Sequence[str]
    base_seeds: Sequence[int]
    retrain_seeds: Sequence[int]
    methods: Sequence[str] = ()
    seeds: Sequence[int] = ()
    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    options: Sequence[Mapping[str, Any]] = ({},)
    tuned: bool = False
    controls: Sequence[str] | None = None
    tiers: Sequence[str] = ()
    place: Place = field(default_factory=Place)

    @property
    def row(self) -> Task:
        """The task: one of the table, or a custom task."""
        return find_task(self.task, data=self.place.data, family=self.place.family)

    def check(self) -> None:
        """Check the grid before anything is trained.

        Raises:
            ValueError: If a key is unknown, the data are of another tier or have no such ratio, or a method is a
                reference or a control, or not made for what there is to forget.
            FileNotFoundError: If the data are not there.
        """
        for key in self.methods:
            if get_method(key).from_scratch:
                raise ValueError(f"expected methods that start from a base model, got {key!r}: it is a reference")
        for backbone in self.backbones:
            recipe_of(self.row, backbone)
        info = info_of_tiers(self.task, self.tiers, data=self.place.data, family=self.place.family)
        info.forget_size(self.ratio)
        for key, backbone in itertools.product(self.methods, self.backbones):
            check_request(key, self.place.setting(self.task, backbone), self.ratio)
        self._check_arguments()
        for seeds in (self.backbones, self.methods, self.base_seeds, self.retrain_seeds, self.seeds):
            if len(set(seeds)) != len(seeds):
                raise ValueError(f"expected each backbone, method and seed once, got {' '.join(map(str, seeds))}")

    def _check_arguments(self) -> None:
        if self.tuned and any(self.options):
            raise ValueError(f"expected no options beside tuned arguments, got {list(map(dict, self.options))}")
        if unknown := set(self.arguments) - set(self.methods):
            raise ValueError(f"expected arguments of methods of the sweep, got some of {', '.join(sorted(unknown))}")
        for key in self.methods:
            self._check_given(key)
        for key in self.controls or ():
            if not get_method(key).from_scratch or key == REFERENCE:
                raise ValueError(f"expected controls that start from a fresh model, got {key!r}")

    def _check_given(self, method: str) -> None:
        known = recorded_names(get_method(method))
        for given in self._given(method):
            check_number_types(get_method(method).arguments, dict(given))
        for name, value in itertools.chain(*self._given(method)):
            if name not in (*known, *UNRECORDED):
                raise ValueError(f"expected arguments that {method} records, got {name!r}{did_you_mean(name, known)}")
            if name == "lora_rank" and value is not None and not method_table()[method].takes_lora:
                raise ValueError(f"expected no lora_rank, since {method} works on weights or blocks, got {value}")

    def bases(self, backbone: str) -> list[BaseJob]:
        """Return the jobs of base models; there is one adopted model, of seed 0."""
        seeds = (0,) if is_adopted(backbone) else self.base_seeds
        return [BaseJob(self.place, self.task, backbone, seed) for seed in seeds]

    def from_scratch(self, backbone: str, methods: Sequence[str]) -> list[MethodJob]:
        """Return the jobs of runs from fresh models: retrained ones and controls."""
        what = (self.place, self.task, backbone, self.ratio)
        return [MethodJob(*what, key, seed, 0, given) for key in methods for seed, given in self._scratch_runs(key)]

    def _scratch_runs(self, method: str) -> list[tuple[int, Given]]:
        """Return seed and arguments of the runs of a reference or a control."""
        if method == "retrain_at":
            return [(seed, (("percent", percent),)) for seed in self.retrain_seeds[:1] for percent in CURVE]
        seeds = self.retrain_seeds if method == "retrain" else self.retrain_seeds[:CONTROL_SEEDS]
        return [(seed, ()) for seed in seeds]

    def references(self, methods: Sequence[str] = ()) -> list[BaseJob | MethodJob]:
        """Return the jobs of base models and of runs from fresh models: retrained ones and controls.

        Args:
            methods: Method keys of the latter; none is all that the sweep has.
        """
        jobs: list[BaseJob | MethodJob] = []
        for backbone in self.backbones:
            scratch = self.from_scratch(backbone, methods or [REFERENCE, *self._controls()])
            jobs += [*self.bases(backbone), *scratch]
        return jobs

    def _controls(self) -> list[str]:
        """Return the controls from fresh models that are made for the task."""
        wanted = methods_for(self.row.kind) if self.controls is None else self.controls
        return [key for key in wanted if method_table()[key].from_scratch and key != REFERENCE]

    def unlearning(self) -> list[MethodJob]:
        """Return the jobs of unlearning runs, each of which requires its base model.

        All methods of a seed and a base model come before those of the next, so that the rows of a sweep that was
        stopped can be compared.
        """
        jobs = []
        for backbone in self.backbones:
            keys = self.methods or self.find_methods(backbone)
            methods = [(key, given) for key in keys for given in self._given(key)]
            what = (self.place, self.task, backbone, self.ratio)
            jobs += [
                MethodJob(*what, key, base.seed, seed, given, self.tuned, base.key)
                for seed, base, (key, given) in itertools.product(self.seeds, self.bases(backbone), methods)
            ]
        return jobs

    def _given(self, method: str) -> list[Given]:
        """Return the arguments of a method's runs, once for each of the options."""
        own = self.arguments.get(method, {})
        return [tuple(sorted({**own, **options}.items())) for options in self.options]

    def find_methods(self, backbone: str) -> list[str]:
        """Return those of its methods, by default all, that change a trained model and apply to all it is about."""
        table = method_table()
        made_for = methods_for(self.row.kind, backbone, prefix_free=self.row.prefix_free)
        known = [key for key in made_for if not table[key].from_scratch]
        keys = [key for key in known if not self.methods or key in self.methods]
        if not any(table[key].whole_classes for key in keys):  # the rows need not be read
            return keys
        there = methods_on(self.place.setting(self.task, backbone), self.ratio)
        return [key for key in keys if key in there]

    def judging(self) -> list[SweepJob]:
        """Return the jobs that judge every run, each as soon as it and the references are there, and the controls."""
        jobs: list[SweepJob] = []
        runs = [*self.references(), *self.unlearning()]
        for backbone in self.backbones:
            required = [*self.bases(backbone), *self.from_scratch(backbone, [REFERENCE])]
            references, what = tuple(job.key for job in required), (self.place, self.task, backbone)
            count = len(self.retrain_seeds) + (len(CONTROLS) - len(FROM_SCRATCH)) * len(self.base_seeds)
            judged = [run for run in runs if isinstance(run, MethodJob) and run.backbone == backbone]
            own = [JudgeJob(*what, run, references) for run in judged if run.method != REFERENCE]
            jobs += [*own, JudgeGroupJob(*what, self.ratio, references, tuple(job.key for job in own), count)]
        return jobs

    def jobs(self) -> list[SweepJob]:
        """Return all jobs: references, rows of controls from fresh models, every run and its row, the other controls.

        Without seeds of runs there are references alone. Runs that options repeat are one job.
        """
        references = self.references()
        if not self.seeds:
            return [*references]
        rows = self.judging()
        own = {job.run.key: job for job in rows if isinstance(job, JudgeJob)}
        runs = {run.key: run for run in self.unlearning()}
        pairs = [job for key, run in runs.items() for job in (run, own.pop(key))]
        return [*references, *own.values(), *pairs, *(job for job in rows if isinstance(job, JudgeGroupJob))]


def run_sweep(*sweeps: Sweep, executor: Executor, retry: bool = False) -> Report:
    """Run what is left of sweeps, and return what came of all jobs.

    Args:
        *sweeps: Grids of runs.
        executor: Processes to run them.
        retry: Whether runs that failed before are repeated.

    Raises:
        ValueError: If a grid is wrong, as in `Sweep.check`.
        FileNotFoundError: If the data are not there.
    """
    for sweep in sweeps:
        sweep.check()
        for backbone in sweep.backbones if sweep.seeds else ():  # workers report no runs that they leave out
            sweep.place.group(sweep.task, backbone, sweep.ratio)
    jobs = [job for sweep in sweeps for job in sweep.jobs()]
    with executor:
        return run_jobs(jobs, executor, retry=retry, costs=JobCosts(jobs))
