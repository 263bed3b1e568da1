"""The base models of many tasks, a retrained model beside each, and a table of their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mubench.hub_builders.dataset.readme import read_manifests
from mubench.hub_builders.tasks import TASKS, get_task
from mubench.hub_builders.utils.tables import align_columns
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.evaluation.references import find_group
from mubench.trainers.metrics.accuracy import accuracy
from mubench.trainers.metrics.attacks import auc
from mubench.trainers.metrics.case import SplitOutputs
from mubench.trainers.runs.grid_parsers import PRIMARY
from mubench.trainers.runs.sweep import Place, Sweep
from mubench.trainers.runs.worker_pool import Workers

HEAD = ("task", "backbone", "model", "forget", "retain", "test", "MIA AUC", "seconds")


@dataclass(frozen=True, kw_only=True)
class Bases:
    """Which base models to train.

    Attributes:
        tasks: Task keys; none is every task that is built.
        backbone: Backbone key; ``None`` takes the first of each task.
        ratio: Percentage deleted from the rows of the retrained models.
        seeds: Seeds of base and retrained models.
        place: Data, models and results; family `PRIMARY` stands for the one that each task is ranked on.
    """

    tasks: Sequence[str] = ()
    backbone: str | None = None
    ratio: int = 5
    seeds: Sequence[int] = (0,)
    place: Place

    def sweeps(self) -> list[Sweep]:
        """Return the models to train, task by task."""
        return [
            Sweep(
                task=key,
                ratio=self.ratio,
                backbones=[self.backbone or get_task(key).default_backbone],
                base_seeds=self.seeds,
                retrain_seeds=self.seeds,
                place=self._place(key),
            )
            for key in self.tasks or _built(Path(self.place.data))
        ]

    def _place(self, task: str) -> Place:
        if self.place.family != PRIMARY:
            return self.place
        built = read_manifests(Path(self.place.data)).get(task, {"tier": "mini"})
        return replace(self.place, family=get_task(task).family_of(built["tier"]))


def _built(data: Path) -> list[str]:
    """Return the built tasks, in the order of the table.

    Raises:
        FileNotFoundError: If there are none.
    """
    found = [key for key in TASKS if key in read_manifests(data)]
    if not found:
        raise FileNotFoundError(f"expected tasks in {data}, got none; build them with: make data")
    return found


def make_bases(wanted: Bases, *, workers: int = 2) -> list[str]:
    """Train the missing models under one progress bar, and return the lines of a table of all.

    Raises:
        ValueError: If a task, backbone or ratio is unknown.
        FileNotFoundError: If the data are not there.
        NonFiniteError: If a training diverged; all others are finished.
    """
    sweeps = wanted.sweeps()
    for sweep in sweeps:
        sweep.check()
    jobs = [job for sweep in sweeps for job in sweep.references(methods=("retrain",))]
    with Workers(workers) as pool:
        diverged = pool.run(jobs, "base models")
    if diverged:
        raise NonFiniteError(f"{len(diverged)} models diverged: {'; '.join(sorted(diverged))}")
    return align_columns([HEAD, *(line for sweep in sweeps for line in _lines(sweep))], left=(0, 1, 2))


def _lines(sweep: Sweep) -> list[tuple[str, ...]]:
    """Return a line for every model of a sweep: scores, the loss attack's AUC, and the seconds of its training."""
    lines = []
    for backbone in sweep.backbones:
        group = find_group(sweep.place.setting(sweep.task, backbone), sweep.ratio, sweep.place.models)
        for name, folders in (("base", group.bases), ("retrained", group.retrained)):
            for seed in sorted(set(folders) & set(sweep.base_seeds)):
                outputs, seconds = group.outputs(folders[seed]), group.runs[folders[seed]].cost["seconds"]
                lines.append((sweep.task, backbone, f"{name} s{seed}", *_numbers(outputs), f"{seconds:.1f}"))
    return lines


def _numbers(outputs: SplitOutputs) -> list[str]:
    scores = [accuracy(outputs, split) for split in ("forget", "retain", "test")]
    return [f"{value:.3f}" for value in (*scores, auc(outputs["forget"].log_odds, outputs["test"].log_odds))]
