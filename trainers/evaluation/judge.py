"""Computes result rows from outputs: every metric, S with its interval, and flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from mubench.hub_builders.tasks.names import dataset_folder
from mubench.hub_builders.utils.hints import command
from mubench.trainers.evaluation.controls import outputs_controls
from mubench.trainers.evaluation.reference_models import ReferenceModels
from mubench.trainers.evaluation.result import (
    ORACLE_SELECTION,
    Flag,
    Interval,
    References,
    Result,
    RunInfo,
    Value,
)
from mubench.trainers.metrics import METRICS, Case, NoSignal, NotDefined, SplitOutputs
from mubench.trainers.metrics.bootstrap import bootstrap
from mubench.trainers.metrics.bootstrap import interval as percentiles
from mubench.trainers.metrics.score import SCORE_VERSION

SCORE_PARTS = ("score", "row", "mean", "membership", "utility")


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What judging a model finds: the fields of a `Result` that are not about its run."""

    references: References
    flags: list[Flag]
    metrics: dict[str, Value] = field(default_factory=dict)
    interval: Interval | None = None
    row_spread: float | None = None
    no_signal: str | None = None
    score_version: Literal[1, 2] = SCORE_VERSION

    @property
    def score(self) -> float | None:
        """S, or ``None`` where it is undefined."""
        return self.metrics["score"].value if "score" in self.metrics else None

    @property
    def parts(self) -> dict[str, float]:
        """The four parts of S by name, those that are defined."""
        return {name: self.metrics[name].value for name in SCORE_PARTS[1:] if name in self.metrics}


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


def measure(case: Case, retrained_means: Mapping[str, float | None]) -> tuple[dict[str, Value], str | None]:
    """Return every metric that the case has the splits and references for, and why S is missing if it is.

    Args:
        case: The judged model and its references.
        retrained_means: Mean of every metric over the retrained models.
    """
    values: dict[str, Value] = {}
    reason = None
    for name, metric in METRICS.items():
        if not case.has(metric):
            continue
        try:
            value = float(metric.compute(case))
        except NotDefined:
            continue
        except NoSignal as error:
            reason = reason or (str(error) if name in SCORE_PARTS else None)
            continue
        rows = metric.rows(case.model[metric.needs[0]])
        values[name] = Value(value=value, n=rows, retrained=retrained_means.get(name))
    return values, reason


def measure_model(
    model: SplitOutputs,
    references: ReferenceModels,
    split: str,
    *,
    method: str | None = None,
    is_reference: bool = False,
    flags: Sequence[Flag] = (),
) -> Judgement:
    """Return every metric of a model, S with its interval, and its faults.

    Args:
        model: The model's outputs by split.
        references: The reference models, without the judged one.
        split: Fingerprint of the split, from which the bootstrap's draws follow.
        method: Key of the method that made the model, where it has one.
        is_reference: Whether it is a retrained model, judged against the others as the means would be.
        flags: Faults known beforehand.

    Raises:
        ValueError: If the references have other rows.
    """
    found = [*find_flags(model, list(references.bases.values())), *flags]
    if "nan" in found:
        return Judgement(references=references.seeds, flags=found)
    case = references.case(model, method)
    values, reason = measure(case, {} if is_reference else references.retrained_means)
    interval = None
    if reason is None:
        try:
            resampled = bootstrap(case.evidence, case.reference, split)
        except NoSignal as error:
            reason = str(error)
        else:
            low, high = percentiles(resampled.draws)
            draws = np.rint(1000 * resampled.draws).astype(int).tolist()
            interval = Interval(low=low, high=high, lost=resampled.lost, draws=draws)
    if interval is None:
        values.pop("score", None)
    # The gate is about all retrained models: rows that are judged against a part of them do not carry it.
    spread, gate = (None, None) if is_reference else references.signal_gate
    return Judgement(
        metrics=values,
        interval=interval,
        references=references.seeds,
        row_spread=spread,
        no_signal=reason or gate,
        flags=found,
    )


def judge_against(run: RunInfo, model: SplitOutputs, references: ReferenceModels) -> Result:
    """Judge one model against reference models.

    Args:
        run: What was run; it is copied into the row.
        model: The model's outputs by split: ``forget``, ``retain``, ``test`` and the task's other splits, see
            `outputs_by_split`. All models need the same rows in the same order.
        references: The reference models, without the judged one.

    Raises:
        ValueError: If the references have other rows.
    """
    found = measure_model(
        model,
        references,
        run.split,
        method=run.method,
        is_reference=run.control and run.method == "retrain",
        flags=[ORACLE_SELECTION] if run.oracle_selected else [],
    )
    return Result(**run.model_dump(), **vars(found))


def reference_models(
    run: RunInfo, retrained: Mapping[int, SplitOutputs], bases: Mapping[int, SplitOutputs], chance: float
) -> ReferenceModels:
    """Return the reference models for outputs by seed.

    Raises:
        ValueError: If there are too few of them, or their outputs are not finite.
    """
    if len(retrained) < 2 or not bases:
        place = {"data": dataset_folder(run.family, run.deletion_seed), "family": run.family}
        group = {"task": run.task, "backbone": run.backbone, "ratio": run.ratio}
        raise ValueError(
            f"expected at least 2 retrained models and 1 base of {run.backbone}, got {len(retrained)} and "
            f"{len(bases)}; make them with: {command('references', **group, seeds='0 1 2', **place)}"
        )
    return ReferenceModels.from_outputs(retrained, bases, chance)


def judge(
    run: RunInfo,
    model: SplitOutputs,
    retrained: Mapping[int, SplitOutputs],
    bases: Mapping[int, SplitOutputs],
    *,
    chance: float,
) -> Result:
    """Judge one model against retrained and base models given by their outputs.

    Args:
        run: What was run; it is copied into the row.
        model: The model's outputs by split, see `judge_against`.
        retrained: Outputs of the retrained models by seed, without the judged one.
        bases: Outputs of the base models by base seed.
        chance: Score of the best constant prediction.

    Raises:
        ValueError: If there are too few references, or they have other rows or are not finite.
    """
    return judge_against(run, model, reference_models(run, retrained, bases, chance))


def judge_controls(run: RunInfo, references: ReferenceModels) -> list[tuple[Result, SplitOutputs]]:
    """Judge the controls without a run of their own, for every base seed, and return rows and judged outputs.

    The others are runs: ``retrain`` (judge it against the other retrained models), ``retrain_keep50``, ``retrain_at``.

    Args:
        run: What all of them share. ``run_id`` is the prefix of theirs; ``method``, ``base_seed``, ``seed``,
            ``identity``, ``outputs``, ``control``, ``arguments`` and ``cost`` are set here.
        references: The reference models, with outputs.
    """
    results = []
    for seed, base in references.bases.items():
        for name, outputs in outputs_controls(base, list(references.retrained.values()), seed=seed).items():
            own = {"run_id": f"{run.run_id}-{name.replace('_', '-')}-s{seed}", "method": name, "control": True}
            own |= {"base_seed": seed, "seed": seed, "identity": None, "outputs": None, "arguments": {}, "cost": {}}
            results.append((judge_against(run.model_copy(update=own), outputs, references), outputs))
    return results
