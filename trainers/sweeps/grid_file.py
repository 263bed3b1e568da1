"""Grids in YAML files: tasks, backbones, methods, seeds and options; an invalid file gives a one-line error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from mubench.hub_builders.tasks import Tier
from mubench.hub_builders.tasks.names import DATASET
from mubench.hub_builders.utils.cli import did_you_mean, read_yaml
from mubench.hub_builders.utils.text import quote
from mubench.trainers.runs.grid_parsers import PRIMARY
from mubench.trainers.runs.method_files import read_method_file
from mubench.trainers.sweeps.bases import task_sweeps
from mubench.trainers.sweeps.jobs import Place
from mubench.trainers.sweeps.sweep import Sweep

ANY = ""  # in place of a task: the backbones of all tasks


def _to_mapping(found: Any) -> Any:
    """Return a mapping of arguments by method for a list of methods."""
    if isinstance(found, list) and all(isinstance(key, str) for key in found):
        repeated = sorted({key for key in found if found.count(key) > 1})
        if repeated:
            raise ValueError(f"each method once, got {' '.join(repeated)} again")
        return {key: {} for key in found}
    return {key: given or {} for key, given in found.items()} if isinstance(found, dict) else found


def _by_task(found: Any) -> Any:
    return {ANY: found} if isinstance(found, list) else found


Seed = Annotated[int, Field(ge=0)]
Seeds = Annotated[list[Seed], Field(min_length=1)]


class Resources(BaseModel):
    """What a run takes of a cluster.

    Attributes:
        cpus: Cores.
        gpus: GPUs, of which several runs share one if it is a fraction; ``None`` takes one where Ray has some,
            and none on Slurm.
        minutes: Time limit on Slurm.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    cpus: float = Field(default=1, gt=0)
    gpus: float | None = Field(default=None, ge=0)
    minutes: int = Field(default=240, gt=0)


class Grid(BaseModel):
    """A grid of runs: every task with every backbone, ratio, method, base model, seed and set of options.

    Attributes:
        tasks: Task keys.
        backbones: Backbone keys, or folders or Hub ids of pretrained models, of all tasks, or by task; a task without
            any takes its first.
        ratios: Percentages to delete.
        methods: Method keys, or arguments by method key; empty: every method that is made for the task.
        method_file: File of custom methods, whose code is run; see `method_files`.
        options: Sets of arguments of all methods; every run is made once with each.
        tuned: Whether the arguments of methods are the best that `tune` found, as their rows then say.
        base_seeds: Seeds of the base models.
        retrain_seeds: Seeds of the retrained models.
        seeds: Seeds of the runs, from every base model.
        controls: Controls from fresh models; ``None``: all.
        tiers: Tiers of the data that the grid is made for; empty: any.
        data: Dataset folder or Hub id.
        family: Deletion family; ``primary``: the one that a task is ranked on.
        eval_seed: Seed of the noise that generated images start from.
        models: Folder of all models.
        results: Folder of the rows.
        workers: Processes of this machine.
        resources: What a run takes of a Ray cluster.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    tasks: list[str] = Field(min_length=1)
    backbones: Annotated[dict[str, list[str]], BeforeValidator(_by_task)] = {}
    ratios: list[int] = Field(default=[10], min_length=1)
    methods: Annotated[dict[str, dict[str, Any]], BeforeValidator(_to_mapping)] = {}
    method_file: str | None = None
    options: list[dict[str, Any]] = Field(default=[{}], min_length=1)
    tuned: bool = False
    base_seeds: Seeds = [0]
    retrain_seeds: Seeds = [0, 1, 2]
    seeds: Seeds = [0]
    controls: list[str] | None = None
    tiers: list[Tier] = []
    data: str = DATASET
    family: str = PRIMARY
    eval_seed: int = 0
    models: str = "models"
    results: str = "results"
    workers: int = Field(default=2, ge=1)
    resources: Resources = Resources()

    def place(self) -> Place:
        """Return where data, models and results are."""
        return Place(
            data=self.data,
            family=self.family,
            eval_seed=self.eval_seed,
            models=Path(self.models),
            results=Path(self.results),
            method_file=read_method_file(self.method_file) if self.method_file else None,
        )

    def sweeps(self) -> list[Sweep]:
        """Return a sweep for every task and ratio; `Sweep.check` looks at their keys.

        Raises:
            ValueError: If a task is unknown, or backbones are named for a task that the grid lacks.
        """
        others = [task for task in self.backbones if task not in (ANY, *self.tasks)]
        if others:
            raise ValueError(f"expected backbones of {', '.join(self.tasks)}, got some of {', '.join(others)}")
        options: dict[str, Any] = {
            "methods": tuple(self.methods), "arguments": self.methods, "options": tuple(self.options),
            "base_seeds": self.base_seeds, "retrain_seeds": self.retrain_seeds, "seeds": self.seeds,
            "tuned": self.tuned, "controls": self.controls, "tiers": self.tiers,
        }  # fmt: skip
        found = []
        for ratio in self.ratios:
            for sweep in task_sweeps(self.tasks, self.place(), ratio=ratio, **options):
                found.append(replace(sweep, backbones=self._backbones(sweep.task)))
        return found

    def _backbones(self, task: str) -> Sequence[str]:
        return self.place().backbones(task, self.backbones.get(task) or self.backbones.get(ANY) or [None])


def read_grid(path: Path, **changes: Any) -> Grid:
    """Read a grid.

    Args:
        path: The YAML file.
        **changes: Fields in place of those of the file.

    Raises:
        FileNotFoundError: If it cannot be read.
        ValueError: If it is no grid; the line names the first field that is wrong.
    """
    found = read_yaml(path, f"a grid in {path}")
    if not isinstance(found, dict):
        raise ValueError(f"expected the fields of a grid in {path}, got {quote(found)}")  # noqa: TRY004
    try:
        return Grid.model_validate({**found, **changes})
    except ValidationError as error:
        raise ValueError(f"{_explain(error)} in {path}") from error


def _explain(error: ValidationError) -> str:
    """Return what is expected of the first wrong field, and what is there."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        known = Grid.model_fields if len(first["loc"]) == 1 else Resources.model_fields
        return f"expected the fields {', '.join(known)}, got {where!r}{did_you_mean(where, known)}"
    if first["type"] == "missing":
        return f"expected the field {where}, got none"
    wanted = first["msg"].removeprefix("Value error, ").removeprefix("Input should ")
    if first["type"] == "value_error":
        return f"expected {wanted} ({where})"
    return f"expected {where} to {wanted}, got {quote(first['input'])}"
