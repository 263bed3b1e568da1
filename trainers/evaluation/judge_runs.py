"""Judges model folders: every finished run of a group becomes one row in ``./results``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mubench.hub_builders.hub.model_folder import read_run
from mubench.trainers.evaluation.controls import leave_one_out
from mubench.trainers.evaluation.judge import judge, judge_controls
from mubench.trainers.evaluation.references import Group
from mubench.trainers.evaluation.result import References, RunInfo
from mubench.trainers.evaluation.result_files import read_result, write_result
from mubench.trainers.methods import METHODS
from mubench.trainers.metrics import SplitOutputs
from mubench.trainers.metrics.accuracy import majority_baseline


def passes(cost: Mapping[str, float]) -> float:
    """Return a run's cost in forward passes; a backward one counts 2, one that ends early its share of the depth."""
    share = cost["whole"] / cost["forward"] if "whole" in cost else 1.0
    return share * (cost["forward"] + 2 * cost["backward"])


class Judge:
    """Judges the runs of one group; the references are read once.

    Args:
        group: The group.
        results: Folder of the rows.

    Raises:
        FileNotFoundError: If there are too few references.
    """

    def __init__(self, group: Group, results: Path) -> None:
        group.require()
        self.group, self.results = group, results
        self.bases = {seed: group.outputs(folder) for seed, folder in group.bases.items()}
        self.retrained = {seed: group.outputs(folder) for seed, folder in group.retrained.items()}
        self.chance = majority_baseline(self.retrained[min(self.retrained)]["test"])
        costs = [group.runs[folder].cost for folder in group.retrained.values()]
        self.seconds = float(np.mean([cost["seconds"] for cost in costs]))
        self.passes = float(np.mean([passes(cost) for cost in costs]))

    def run(self, folder: Path) -> Path:
        """Judge one unlearned model and return its row's path; a row that is up to date is kept."""
        return self._judge(folder, self.retrained)

    def controls(self) -> list[Path]:
        """Judge the controls that are no unlearned models: retrained leave-one-out, base, flip_cheat, constant."""
        paths = []
        if len(self.retrained) > 2:
            for seed, folder in self.group.retrained.items():
                model, others = leave_one_out(self.retrained, seed)
                paths.append(self._judge(folder, others, model))
        return [*paths, *self._judge_controls_without_run()]

    def _info(self, folder: Path) -> RunInfo:
        run = self.group.runs.get(folder) or read_run(folder)
        control = run.method == "retrain" or METHODS[str(run.method)].is_control
        info = RunInfo.from_run(run, f"{folder.name}-{run.identity[:8]}", control=control)
        shares = {
            "seconds_share": info.cost["seconds"] / self.seconds,
            "passes_share": passes(info.cost) / self.passes,
        }
        return info.model_copy(update={"cost": {**info.cost, **shares}})

    def _references(self, retrained: Mapping[int, SplitOutputs]) -> References:
        folders = [self.group.retrained[seed] for seed in sorted(retrained)]
        folders += [folder for _, folder in sorted(self.group.bases.items())]
        identities = [self.group.runs[folder].identity for folder in folders]
        return References(retrained=sorted(retrained), bases=sorted(self.bases), identities=identities)

    def _judge_controls_without_run(self) -> list[Path]:
        shared = self._info(self.group.retrained[min(self.group.retrained)])
        prefix = f"{shared.run_id.split('-retrain-')[0]}-control"
        there = sorted(self.results.glob(f"{prefix}-*.json"))
        references = self._references(self.retrained)
        if there and all(read_result(path).references == references for path in there):
            return there
        shared = shared.model_copy(update={"run_id": prefix, "parent": None})
        rows = judge_controls(shared, self.retrained, self.bases, chance=self.chance)
        return [write_result(row.model_copy(update={"references": references}), self.results) for row in rows]

    def _judge(self, folder: Path, retrained: Mapping[int, SplitOutputs], model: SplitOutputs | None = None) -> Path:
        """Judge a model against these retrained ones; its outputs are read unless they are given."""
        info, references = self._info(folder), self._references(retrained)
        path = self.results / f"{info.run_id}.json"
        if path.is_file():
            row = read_result(path)
            if row.identity == info.identity and row.references == references:
                return path
        row = judge(info, model or self.group.outputs(folder), retrained, self.bases, chance=self.chance)
        path = write_result(row.model_copy(update={"references": references}), self.results)
        # A folder holds one run: rows of its earlier runs are out of date.
        for old in self.results.glob(f"{info.run_id.rpartition('-')[0]}-????????.json"):
            if old != path:
                old.unlink()
        return path
