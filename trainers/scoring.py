"""Judging what lies in the model folders: every finished run of a group becomes one row in ``./results``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mubench.hub_builders.folders import read_run
from mubench.trainers.controls import leave_one_out
from mubench.trainers.judge import judge, judge_controls
from mubench.trainers.methods import METHODS
from mubench.trainers.metrics import Views
from mubench.trainers.references import Group
from mubench.trainers.results import RunInfo, read_result, write_result
from mubench.trainers.rows import Result


def _passes(cost: Mapping[str, float]) -> float:
    return cost["forward"] + 2 * cost["backward"]


def _is_judged(info: RunInfo, results: Path, retrained: Mapping[int, Views], bases: Mapping[int, Views]) -> bool:
    path = results / f"{info.run_id}.json"
    if not path.is_file():
        return False
    row = read_result(path)
    seeds = (row.references.retrained, row.references.bases)
    return row.identity == info.identity and seeds == (sorted(retrained), sorted(bases))


class Judge:
    """Judges the runs of one group; references are read once.

    Args:
        group: The group.
        results: Folder of the rows.

    Raises:
        FileNotFoundError: If there are too few references.
    """

    def __init__(self, group: Group, results: Path) -> None:
        group.require()
        self.group, self.results = group, results
        self.bases = {seed: group.views(folder) for seed, folder in group.bases.items()}
        self.retrained = {seed: group.views(folder) for seed, folder in group.retrained.items()}
        self.chance = group.bench.task.chance
        costs = [read_run(folder).cost for folder in group.retrained.values()]
        self.seconds = float(np.mean([cost["seconds"] for cost in costs]))
        self.passes = float(np.mean([_passes(cost) for cost in costs]))

    def _info(self, folder: Path) -> RunInfo:
        run = read_run(folder)
        control = run.method == "retrain" or METHODS[str(run.method)].is_control
        info = RunInfo.from_run(run, f"{folder.name}-{run.identity[:8]}", control=control)
        shares = {
            "seconds_share": info.cost["seconds"] / self.seconds,
            "passes_share": _passes(info.cost) / self.passes,
        }
        return info.model_copy(update={"cost": {**info.cost, **shares}})

    def run(self, folder: Path) -> Path:
        """Judge one unlearned model and return its row's path; nothing is done where the row is there."""
        info = self._info(folder)
        return self._write(info, self.group.views(folder), self.retrained)

    def controls(self) -> list[Path]:
        """Judge the controls that are no unlearned models: retrained leave-one-out, base, flip_cheat, constant."""
        paths = []
        if len(self.retrained) > 2:
            for seed, folder in self.group.retrained.items():
                model, others = leave_one_out(self.retrained, seed)
                paths.append(self._write(self._info(folder), model, others))
        shared = self._info(self.group.retrained[min(self.group.retrained)])
        prefix = f"{shared.run_id.split('-retrain-')[0]}-control"
        shared = shared.model_copy(update={"run_id": prefix})
        rows = judge_controls(shared, self.retrained, self.bases, chance=self.chance)
        return [*paths, *(write_result(row, self.results) for row in rows)]

    def _write(self, info: RunInfo, model: Views, retrained: Mapping[int, Views]) -> Path:
        if _is_judged(info, self.results, retrained, self.bases):
            return self.results / f"{info.run_id}.json"
        row: Result = judge(info, model, retrained, self.bases, chance=self.chance)
        return write_result(row, self.results)
