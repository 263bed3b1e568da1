"""Outputs in, result rows out: every metric, S with its interval, flags; `Judge` takes outputs from model folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mubench.hub_builders.hub.model_folder import read_run
from mubench.hub_builders.tasks.names import dataset_folder
from mubench.hub_builders.utils.atomic import owned
from mubench.hub_builders.utils.hints import target
from mubench.trainers.evaluation.controls import constant, flip_cheat, leave_one_out
from mubench.trainers.evaluation.limits import MAX_SEEDS
from mubench.trainers.evaluation.references import Group
from mubench.trainers.evaluation.result import (
    ORACLE_SELECTION,
    Flag,
    Interval,
    References,
    Result,
    RunInfo,
    Value,
    read_result,
    write_result,
)
from mubench.trainers.methods import METHODS
from mubench.trainers.metrics import METRICS, Case, Metric, NoSignal, SplitOutputs
from mubench.trainers.metrics.accuracy import majority_baseline
from mubench.trainers.metrics.bootstrap import bootstrap
from mubench.trainers.metrics.bootstrap import interval as percentiles
from mubench.trainers.metrics.score import SIGNAL_LIMIT, row_spread


def find_flags(model: SplitOutputs, bases: Sequence[SplitOutputs]) -> list[Flag]:
    """Return what disqualifies a model: NaN outputs, one class for every test row, or a base's very outputs."""
    if not all(outputs.is_finite() for outputs in model.values()):
        return ["nan"]
    flags: list[Flag] = []
    if model["test"].is_constant():
        flags.append("constant_class")
    if any(all(model[split].equals(base[split]) for split in model) for base in bases):
        flags.append("equals_base")
    return flags


def _mean_of_others(metric: Metric, others: Sequence[Case]) -> float | None:
    if any(len(case.retrained) < metric.references for case in others):
        return None
    try:
        return float(np.mean([metric.compute(case) for case in others]))
    except NoSignal:  # one retrained model less may leave no signal
        return None


def measure(case: Case) -> tuple[dict[str, Value], str | None]:
    """Return every metric the case has the splits for, and why S is missing if it is."""
    others = case.leave_one_out
    values: dict[str, Value] = {}
    reason = None
    for name, metric in METRICS.items():
        if not metric.applies(case):
            continue
        try:
            value = float(metric.compute(case))
        except NoSignal as error:
            reason = reason or str(error)
            continue
        rows = metric.rows(case.model[metric.needs[0]])
        values[name] = Value(value=value, n=rows, retrained=_mean_of_others(metric, others))
    return values, reason


def _gate(case: Case, run: RunInfo) -> tuple[float | None, str | None]:
    if run.control and run.method == "retrain":
        return None, None  # judged against the others, while the gate is about all: other rows carry it
    try:
        spread = row_spread(case)
    except NoSignal as error:
        return None, str(error)
    if spread > SIGNAL_LIMIT:
        return spread, f"no signal: retrained models' row differs by {spread:.2f}, more than {SIGNAL_LIMIT:.2f}"
    return spread, None


def _score(case: Case, run: RunInfo) -> dict[str, Any]:
    values, reason = measure(case)
    interval = None
    if reason is None:
        try:
            resampled = bootstrap(case, run.split)
        except NoSignal as error:
            reason = str(error)
        else:
            low, high = percentiles(resampled.draws)
            draws = np.rint(1000 * resampled.draws).astype(int).tolist()
            interval = Interval(low=low, high=high, lost=resampled.lost, draws=draws)
    if interval is None:
        values.pop("score", None)
    spread, gate = _gate(case, run)
    return {"metrics": values, "interval": interval, "row_spread": spread, "no_signal": reason or gate}


def judge(
    run: RunInfo,
    model: SplitOutputs,
    retrained: Mapping[int, SplitOutputs],
    bases: Mapping[int, SplitOutputs],
    *,
    chance: float,
) -> Result:
    """Judge one model against retrained and base models.

    Args:
        run: What was run; it is copied into the row.
        model: The model's outputs by split: ``forget``, ``retain``, ``test`` and the task's other splits, see
            `outputs_by_split`. All models need the same rows in the same order.
        retrained: Outputs of the retrained models by seed, without the judged one: `leave_one_out`.
        bases: Outputs of the base models by base seed.
        chance: Score of the best constant prediction.

    Raises:
        ValueError: If there are too few references, or they have other rows or are not finite.
    """
    if len(retrained) < 2 or not bases:
        place = {"data": dataset_folder(run.family, run.deletion_seed), "family": run.family}
        group = {"task": run.task, "backbone": run.backbone, "ratio": run.ratio}
        raise ValueError(
            f"expected at least 2 retrained models and 1 base of {run.backbone}, got {len(retrained)} and "
            f"{len(bases)}; make them with: {target('references', **group, seeds='0 1 2', **place)}"
        )
    seeds = References(retrained=sorted(retrained), bases=sorted(bases))
    case = Case(model, [retrained[k] for k in seeds.retrained], [bases[k] for k in seeds.bases], chance)
    if any("nan" in find_flags(outputs, []) for outputs in (*case.retrained, *case.bases)):
        raise ValueError(f"expected finite outputs of all reference models of {run.task} {run.backbone}, got NaN")
    chosen: list[Flag] = [ORACLE_SELECTION] if run.oracle_selected else []
    flags = [*find_flags(model, case.bases), *chosen]
    empty: dict[str, Any] = {"metrics": {}, "interval": None, "row_spread": None, "no_signal": None}
    found = empty if "nan" in flags else _score(case, run)
    return Result(**run.model_dump(), **found, references=seeds, flags=flags)


def judge_controls(
    run: RunInfo, retrained: Mapping[int, SplitOutputs], bases: Mapping[int, SplitOutputs], *, chance: float
) -> list[Result]:
    """Judge the controls without a run of their own, for every base seed: ``base``, ``flip_cheat``, ``constant``.

    The other two are runs: ``retrain`` (judge it with ``leave_one_out``) and ``retrain_keep50``.

    Args:
        run: What all of them share. ``run_id`` is the prefix of theirs; ``method``, ``base_seed``, ``seed``,
            ``identity``, ``outputs``, ``control``, ``arguments`` and ``cost`` are set here.
        retrained: Outputs of the retrained models by seed.
        bases: Outputs of the base models by base seed.
        chance: Score of the best constant prediction.
    """
    results = []
    for seed, base in sorted(bases.items()):
        controls = {
            "base": base,
            "flip_cheat": flip_cheat(base, list(retrained.values()), seed=seed),
            "constant": constant(base),
        }
        for name, outputs in controls.items():
            own = {"run_id": f"{run.run_id}-{name.replace('_', '-')}-s{seed}", "method": name, "control": True}
            own |= {"base_seed": seed, "seed": seed, "identity": None, "outputs": None, "arguments": {}, "cost": {}}
            results.append(judge(run.model_copy(update=own), outputs, retrained, bases, chance=chance))
    return results


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
        ValueError: If there are too many, or their outputs are missing, damaged, or others than those recorded.
    """

    def __init__(self, group: Group, results: Path) -> None:
        group.require()
        if (most := max(len(group.retrained), len(group.bases))) > MAX_SEEDS:
            raise ValueError(f"expected at most {MAX_SEEDS} retrained and base models each, got {most}")
        self.group, self.results = group, results
        self.bases = {seed: group.outputs(folder) for seed, folder in group.bases.items()}
        self.retrained = {seed: group.outputs(folder) for seed, folder in group.retrained.items()}
        references = (*group.retrained.values(), *group.bases.values())
        self.hashes = {folder: group.hash(folder) for folder in references}
        self.chance = majority_baseline(self.retrained[min(self.retrained)]["test"])
        costs = [group.runs[folder].cost for folder in group.retrained.values()]
        self.seconds = float(np.mean([cost["seconds"] for cost in costs]))
        self.passes = float(np.mean([passes(cost) for cost in costs]))

    def run(self, folder: Path) -> Path:
        """Judge one unlearned model and return its row's path; a row about these very outputs is kept."""
        with owned(self._lock(folder.name)):
            return self._judge(folder, self.retrained)

    def controls(self) -> list[Path]:
        """Judge the controls that are no unlearned models: retrained leave-one-out, base, flip_cheat, constant."""
        paths = []
        if len(self.retrained) > 2:
            for seed, folder in self.group.retrained.items():
                model, others = leave_one_out(self.retrained, seed)
                with owned(self._lock(folder.name)):
                    paths.append(self._judge(folder, others, model))
        return [*paths, *self._judge_controls_without_run()]

    def _lock(self, name: str) -> Path:
        return self.results / f".{name}.lock"

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
        seeds = {"retrained": sorted(retrained), "bases": sorted(self.bases)}
        return References(**seeds, identities=identities, outputs=[self.hashes[folder] for folder in folders])

    def _judge_controls_without_run(self) -> list[Path]:
        shared = self._info(self.group.retrained[min(self.group.retrained)])
        prefix = f"{shared.run_id.split('-retrain-')[0]}-control"
        references = self._references(self.retrained)
        with owned(self._lock(prefix)):
            there = sorted(self.results.glob(f"{prefix}-*.json"))
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
            same = row.identity == info.identity and row.references == references
            if same and row.outputs == self.group.hash(folder):
                return path
        row = judge(info, model or self.group.outputs(folder), retrained, self.bases, chance=self.chance)
        found = {"references": references, "outputs": self.group.hash(folder)}
        path = write_result(row.model_copy(update=found), self.results)
        # A folder holds one run: rows of its earlier runs are out of date.
        for old in self.results.glob(f"{info.run_id.rpartition('-')[0]}-????????.json"):
            if old != path:
                old.unlink()
        return path
