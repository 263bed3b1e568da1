"""Judging what lies in the model folders: every finished run of a group becomes one row in ``./results``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mubench.hub_builders.hub.model_folder import read_run
from mubench.trainers.evaluation.controls import leave_one_out
from mubench.trainers.evaluation.judge import judge, judge_controls
from mubench.trainers.evaluation.references import Group
from mubench.trainers.evaluation.result import References, Result
from mubench.trainers.evaluation.result_files import RunInfo, read_result, write_result
from mubench.trainers.methods import METHODS
from mubench.trainers.metrics import SplitOutputs
from mubench.trainers.metrics.accuracy import majority_baseline


def passes(cost: Mapping[str, float]) -> float:
    """Return what a run cost: forward passes plus two for each backward one, those cut short by their depth."""
    share = cost["whole"] / cost["forward"] if "whole" in cost else 1.0  # of the depth that passes come through
    return share * (cost["forward"] + 2 * cost["backward"])


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
        self.chance = majority_baseline(self.retrained[min(self.retrained)]["test"])
        runs = {seed: read_run(folder) for seed, folder in group.retrained.items()}
        self.identities = {seed: run.identity for seed, run in runs.items()}
        self.base_identities = [read_run(folder).identity for _, folder in sorted(group.bases.items())]
        costs = [run.cost for run in runs.values()]
        self.seconds = float(np.mean([cost["seconds"] for cost in costs]))
        self.passes = float(np.mean([passes(cost) for cost in costs]))

    def _info(self, folder: Path) -> RunInfo:
        run = read_run(folder)
        control = run.method == "retrain" or METHODS[str(run.method)].is_control
        info = RunInfo.from_run(run, f"{folder.name}-{run.identity[:8]}", control=control)
        shares = {
            "seconds_share": info.cost["seconds"] / self.seconds,
            "passes_share": passes(info.cost) / self.passes,
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
        return [*paths, *self._made_up()]

    def _made_up(self) -> list[Path]:
        """Judge the controls that no run stands behind."""
        shared = self._info(self.group.retrained[min(self.group.retrained)])
        prefix = f"{shared.run_id.split('-retrain-')[0]}-control"
        there = sorted(self.results.glob(f"{prefix}-*.json"))
        references = self._references(self.retrained)
        if there and all(read_result(path).references == references for path in there):
            return there
        shared = shared.model_copy(update={"run_id": prefix, "parent": None})
        rows = judge_controls(shared, self.retrained, self.bases, chance=self.chance)
        return [write_result(self._marked(row, self.retrained), self.results) for row in rows]

    def _references(self, retrained: Mapping[int, SplitOutputs]) -> References:
        seeds = sorted(retrained)
        identities = [*(self.identities[seed] for seed in seeds), *self.base_identities]
        return References(retrained=seeds, bases=sorted(self.bases), identities=identities)

    def _marked(self, row: Result, retrained: Mapping[int, SplitOutputs]) -> Result:
        return row.model_copy(update={"references": self._references(retrained)})

    def _write(self, info: RunInfo, model: SplitOutputs, retrained: Mapping[int, SplitOutputs]) -> Path:
        path = self.results / f"{info.run_id}.json"
        if path.is_file():
            row = read_result(path)
            if row.identity == info.identity and row.references == self._references(retrained):
                return path
        row = judge(info, model, retrained, self.bases, chance=self.chance)
        path = write_result(self._marked(row, retrained), self.results)
        # A folder is one run: rows of the runs that it held before have nothing behind them any more.
        for old in self.results.glob(f"{info.run_id.rpartition('-')[0]}-????????.json"):
            if old != path:
                old.unlink()
        return path
