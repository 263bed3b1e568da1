"""`Judge`: judges the runs of a group, and writes their rows and evidence into a folder of results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mubench.hub_builders.hub.model_folder import Run, read_run
from mubench.hub_builders.tasks.names import base_model
from mubench.hub_builders.utils.atomic import owned
from mubench.trainers.evaluation.evidence_files import (
    SHIPPED_ROWS,
    EvidenceTable,
    reference_name,
    shipped_evidence,
    shipped_file,
    update_evidence,
)
from mubench.trainers.evaluation.group import Group
from mubench.trainers.evaluation.judge import judge_against, judge_controls
from mubench.trainers.evaluation.reference_models import ReferenceModels
from mubench.trainers.evaluation.result import References, Result, RunInfo, read_result, write_result
from mubench.trainers.evaluation.row_limits import MAX_SEEDS
from mubench.trainers.inference.storage import hash_splits
from mubench.trainers.methods import METHODS
from mubench.trainers.metrics import SplitOutputs
from mubench.trainers.metrics.accuracy import majority_baseline
from mubench.trainers.metrics.evidence import Evidence
from mubench.trainers.metrics.score import SCORE_VERSION
from mubench.trainers.models.setting import Setting

BACKWARD = 2  # forward passes that a backward one counts


def passes(cost: Mapping[str, float]) -> float:
    """Return a run's cost in forward passes, in which one that ends early counts its share of the depth."""
    share = cost["whole"] / cost["forward"] if "whole" in cost else 1.0
    return share * (cost["forward"] + BACKWARD * cost["backward"])


class Judge:
    """Judges the runs of one group; the references are read once.

    Where there are no retrained models beside the runs, the evidence that the suite ships for the setting is the
    reference.

    Args:
        group: The group.
        results: Folder of the rows; their evidence lies in ``evidence`` there.

    Raises:
        FileNotFoundError: If there are too few references.
        ValueError: If there are too many, or their outputs are missing, damaged, or others than those recorded.
    """

    def __init__(self, group: Group, results: Path) -> None:
        if (most := max(len(group.retrained), len(group.bases))) > MAX_SEEDS:
            raise ValueError(f"expected at most {MAX_SEEDS} retrained and base models each, got {most}")
        self.group, self.results = group, results
        self.shipped = require_references(group)
        self.references = self._own_references() if self.shipped is None else _from_shipped(self.shipped)

    def _own_references(self) -> ReferenceModels:
        """Return the models of the group."""
        group = self.group
        retrained, bases = (
            {seed: group.outputs(folder, random=True) for seed, folder in sorted(folders.items())}
            for folders in (group.retrained, group.bases)
        )
        chance = majority_baseline(retrained[min(retrained)]["test"])
        found = ReferenceModels.from_outputs(retrained, bases, chance)
        folders = [group.retrained[seed] for seed in found.seeds.retrained]
        folders += [group.bases[seed] for seed in found.seeds.bases]
        names = {
            "identities": [group.runs[folder].identity for folder in folders],
            "outputs": [group.hash(folder) for folder in folders],
        }
        return replace(found, seeds=found.seeds.model_copy(update=names))

    @cached_property
    def _retrain_cost(self) -> dict[str, float]:
        """Mean cost of a retrained model: ``passes``, and ``seconds`` where they were trained here."""
        if self.shipped is not None:
            return {"passes": self.shipped.setting["retrain_passes"]}
        costs = [self.group.runs[folder].cost for folder in self.group.retrained.values()]
        seconds = float(np.mean([cost["seconds"] for cost in costs]))
        return {"passes": float(np.mean([passes(cost) for cost in costs])), "seconds": seconds}

    def run(self, folder: Path) -> Path:
        """Judge one unlearned model and return its row's path; a row about these very outputs is kept."""
        with owned(self._lock(folder.name)):
            return self._judge(folder, self.references)

    def outputs(self, info: RunInfo, model: SplitOutputs) -> Path:
        """Judge outputs that come from elsewhere, and return their row's path; an earlier row of this id is replaced.

        Args:
            info: What the row is about.
            model: The outputs by split, with the rows of the references.
        """
        with owned(self._lock(info.run_id)):
            return self._write(info, model, self.references, hash_splits(model))

    def controls(self) -> list[Path]:
        """Judge the controls that are no unlearned models: retrained leave-one-out, and those without a run."""
        if self.shipped is not None:
            return []
        paths = []
        for seed, others in self.references.leave_one_out.items():
            folder = self.group.retrained[seed]
            with owned(self._lock(folder.name)):
                paths.append(self._judge(folder, others, self.references.retrained[seed]))
        return [*paths, *self._judge_controls_without_run()]

    def _lock(self, name: str) -> Path:
        return self.results / f".{name}.lock"

    def _info(self, folder: Path) -> RunInfo:
        run = self.group.runs.get(folder) or read_run(folder)
        method = METHODS.get(str(run.method))  # a custom method is no control
        control = run.method == "retrain" or (method is not None and method.is_control)
        info = RunInfo.from_run(run, f"{folder.name}-{run.identity[:8]}", control=control)
        return info.model_copy(update={"cost": self.with_shares(info.cost)})

    def with_shares(self, cost: Mapping[str, float]) -> dict[str, float]:
        """Return the cost of a run with what it is of the mean retrained model's."""
        shares = {"passes_share": passes(cost) / self._retrain_cost["passes"]}
        if "seconds" in self._retrain_cost:
            shares["seconds_share"] = cost["seconds"] / self._retrain_cost["seconds"]
        return {**cost, **shares}

    def _judge_controls_without_run(self) -> list[Path]:
        shared = self._info(self.group.retrained[min(self.group.retrained)])
        prefix = f"{table_name(shared)}-control"
        references = self.references.seeds
        with owned(self._lock(prefix)):
            there = sorted(self.results.glob(f"{prefix}-*.json"))
            if there and all(_is_current(read_result(path), references) for path in there):
                return there
            shared = shared.model_copy(update={"run_id": prefix, "parent": None})
            judged = judge_controls(shared, self.references)
            self._write_evidence(shared, {row.run_id: outputs for row, outputs in judged if row.method != "base"})
            return [write_result(row, self.results) for row, _ in judged]

    def _judge(self, folder: Path, references: ReferenceModels, model: SplitOutputs | None = None) -> Path:
        """Judge a model against these references; its outputs are read unless they are given."""
        info, outputs = self._info(folder), self.group.hash(folder)
        path = self.results / f"{info.run_id}.json"
        if path.is_file():
            row = read_result(path)
            if row.identity == info.identity and row.outputs == outputs and _is_current(row, references.seeds):
                return path
        path = self._write(info, model or self.group.outputs(folder), references, outputs)
        # A folder holds one run: rows of its earlier runs are out of date.
        for old in self.results.glob(f"{info.run_id.rpartition('-')[0]}-????????.json"):
            if old != path:
                old.unlink()
        return path

    def _write(self, info: RunInfo, model: SplitOutputs, references: ReferenceModels, outputs: str) -> Path:
        """Judge outputs with this SHA-256; write row and evidence, and return the row's path."""
        row = judge_against(info, model, references).model_copy(update={"outputs": outputs})
        if "nan" not in row.flags:
            self._write_evidence(info, {} if info.method == "retrain" else {info.run_id: model}, outputs)
        return write_result(row, self.results)

    @cached_property
    def _known(self) -> tuple[dict[str, Evidence], dict[str, str]]:
        """Evidence of the references and the SHA-256 of their outputs, by name in the evidence table."""
        seeds, evidence = self.references.seeds, self.references.evidence
        names = _reference_names(seeds)
        models = dict(zip(names, [*evidence.retrained, *evidence.bases], strict=True))
        return models, dict(zip(names, seeds.outputs, strict=True))

    def _write_evidence(self, info: RunInfo, models: Mapping[str, SplitOutputs], outputs: str | None = None) -> None:
        """Add the evidence of judged models, and that of the references, to the table's file."""
        rows = self.references.evidence.rows
        known, hashes = self._known
        own = {name: rows.read(one) for name, one in models.items()}
        setting = {**table_setting(info), "retrain_passes": self._retrain_cost["passes"]}
        table = EvidenceTable(setting, rows, {**known, **own}, {**hashes, **dict.fromkeys(own, outputs)})
        update_evidence(self.results / "evidence" / f"{table_name(info)}.parquet", table)


def table_setting(run: RunInfo | Run) -> dict[str, Any]:
    """Return what the rows of one table have in common."""
    names = ("tier", "task", "family", "deletion_seed", "ratio", "split", "backbone", "recipe", "eval_seed")
    return {**{name: getattr(run, name) for name in names}, "score_version": SCORE_VERSION}


def table_name(info: RunInfo) -> str:
    """Return the name of a table's evidence and the start of its controls' ids: that of its first base model."""
    base = base_model(info.task, info.tier, info.backbone, family=info.family, eval_seed=info.eval_seed)
    draw = f"-d{info.deletion_seed}" if info.deletion_seed else ""
    return f"{base}{draw}-del{info.ratio}"


def control_scores(row: Result, results: Path) -> dict[str, float]:
    """Return the `mean_controls` of a row's table.

    Args:
        row: A result row.
        results: Folder of its rows; rows judged by shipped evidence are read against the shipped ones.
    """
    folder = SHIPPED_ROWS if row.references.source == "shipped" else results
    rows = map(read_result, sorted(folder.glob(f"{table_name(row)}-retrain-[sk]*.json")))  # of a seed, or keep50
    return mean_controls(one for one in rows if (one.split, one.score_version) == (row.split, row.score_version))


def mean_controls(rows: Iterable[Result]) -> dict[str, float]:
    """Return the mean S of the retrained models, and of those that kept half of the forget set, if rows have them."""
    scores: dict[str, list[float]] = {"retrain": [], "retrain_keep50": []}
    for row in rows:
        if row.method in scores and "score" in row.metrics:
            scores[row.method].append(row.metrics["score"].value)
    names = {"retrain": "retrained", "retrain_keep50": "half of the forget set kept"}
    return {names[method]: float(np.mean(found)) for method, found in scores.items() if found}


def shipped_references(group: Group) -> EvidenceTable | None:
    """Return the shipped evidence of a group's setting, or ``None``."""
    run = group.setting.run(ratio=group.ratio, base_seed=0)
    return shipped_evidence(table_setting(run))


def has_shipped_references(setting: Setting, ratio: int) -> bool:
    """Whether evidence of reference models of a setting comes with the suite."""
    return shipped_file(table_setting(setting.run(ratio=ratio, base_seed=0))) is not None


def can_judge(group: Group) -> bool:
    """Whether a group has reference models of its own, or shipped ones."""
    return group.can_judge or has_shipped_references(group.setting, group.ratio)


def require_references(group: Group) -> EvidenceTable | None:
    """Return the shipped evidence that stands for a group's references, or ``None`` where it has its own.

    Raises:
        FileNotFoundError: If it has neither; the message names the command that makes them.
    """
    if group.can_judge:
        return None
    found = shipped_references(group)
    if found is None:
        group.require()
    return found


def _from_shipped(table: EvidenceTable) -> ReferenceModels:
    """Return the reference models of shipped evidence, of which there are no outputs."""
    seeds = {
        kind: sorted(int(name.rpartition("-s")[2]) for name in table.models if name.startswith(f"{kind}-s"))
        for kind in ("retrain", "base")
    }
    found = References(retrained=seeds["retrain"], bases=seeds["base"], source="shipped")
    hashes = [table.outputs[name] for name in _reference_names(found)]
    references = found.model_copy(update={"outputs": [one for one in hashes if one is not None]})
    return ReferenceModels(references, table.reference(references.retrained, references.bases), {}, {})


def _reference_names(seeds: References) -> list[str]:
    """Return the names of the reference models in an evidence table, retrained ones first."""
    retrained = [reference_name("retrain", seed) for seed in seeds.retrained]
    return retrained + [reference_name("base", seed) for seed in seeds.bases]


def _is_current(row: Result, references: References) -> bool:
    return row.references == references and row.score_version == SCORE_VERSION
