"""Metrics that need the weights of a group's models: relearning, and S after quantization to 8 and 4 bits."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from mubench.hub_builders.tasks.own_backbones import is_adopted
from mubench.trainers.evaluation.group import Group
from mubench.trainers.evaluation.quantization import quantize
from mubench.trainers.evaluation.relearning import anamnesis, halves, omega, relearn, steps_to_relearn
from mubench.trainers.evaluation.result import Result, Value
from mubench.trainers.inference.storage import SHIFTED, outputs_by_split
from mubench.trainers.metrics import METRICS, Case, NoSignal, SplitOutputs
from mubench.trainers.metrics.accuracy import accuracy, majority_baseline
from mubench.trainers.models.base_models import predict_splits, with_image_classifier

BITS = (8, 4)


@dataclasses.dataclass(frozen=True)
class Robustness:
    """Computes the values of a group's models; those of its references once.

    Attributes:
        group: Models and their references.
    """

    group: Group

    def values(self, folder: Path) -> dict[str, Value]:
        """Return every value that a model has; one without signal is left out."""
        tested, rows = len(halves(self._forget["example_id"])[1]), len(self._forget)
        confidence, steps = self._measure_relearning(folder)
        known, needed = self._retrained
        found = {
            "relearn": _value(lambda own, others: omega(own, others, self._bases), confidence, known, tested),
            "ain": _value(anamnesis, steps, needed, rows),
        }
        for bits in BITS:
            own, retrained = self._score(self._outputs_quantized_to(folder, bits)), self._quantized_retrained[bits]
            found[f"score_int{bits}"] = None if own is None else Value(value=own, n=rows, retrained=retrained)
        return {name: value for name, value in found.items() if value is not None}

    @cached_property
    def _forget(self) -> datasets.Dataset:
        setting = self.group.setting
        return setting.rows["train"].select(setting.forget_mask(self.group.ratio).nonzero()[0])

    @cached_property
    def _references(self) -> tuple[list[SplitOutputs], list[SplitOutputs]]:
        """Outputs of the retrained and of the base models, without those on shifted rows, which S does not read."""
        return tuple(  # type: ignore[return-value]
            [{split: one for split, one in model.items() if split != SHIFTED} for model in models]
            for models in self.group.references()
        )

    @cached_property
    def _bases(self) -> list[float]:
        """Confidence of the base models after relearning."""
        return [self._after(folder, relearn) for _, folder in sorted(self.group.bases.items())]

    @cached_property
    def _retrained(self) -> tuple[list[float], list[int]]:
        """Confidence of the retrained models after relearning, and their steps to relearn."""
        found = [self._measure_relearning(folder) for _, folder in sorted(self.group.retrained.items())]
        return [confidence for confidence, _ in found], [steps for _, steps in found]

    @cached_property
    def _quantized_retrained(self) -> dict[int, float | None]:
        """Mean S of the retrained models at so many bits, each judged against the others as they were trained."""
        return {bits: self._mean_quantized_score(bits) for bits in BITS}

    def _mean_quantized_score(self, bits: int) -> float | None:
        retrained, _ = self._references
        if len(retrained) <= METRICS["score"].references:
            return None
        scores = [
            self._score(self._outputs_quantized_to(folder, bits), left_out=position)
            for position, (_, folder) in enumerate(sorted(self.group.retrained.items()))
        ]
        there = [score for score in scores if score is not None]
        return float(np.mean(there)) if len(there) == len(scores) else None

    def _load(self, folder: Path) -> tuple[Any, Any]:
        model, processor = self.group.setting.load(folder)
        return model, with_image_classifier(self.group.setting, processor, self.group.models)

    def _after(self, folder: Path, measure: Callable[..., Any]) -> Any:
        return measure(self.group.setting, *self._load(folder), self._forget)

    def _measure_relearning(self, folder: Path) -> tuple[float, int]:
        _, bases = self._references
        base_score = float(np.mean([accuracy(base, "forget") for base in bases]))
        model, processor = self._load(folder)
        whole = copy.deepcopy(model)
        setting, forget = self.group.setting, self._forget
        steps = steps_to_relearn(setting, whole, processor, forget, base_score=base_score)
        return relearn(setting, model, processor, forget), steps

    def _outputs_quantized_to(self, folder: Path, bits: int) -> SplitOutputs:
        setting = self.group.setting
        if is_adopted(setting.backbone):  # its processor may be another than that of the retrained models
            setting = setting.with_own_encoding()
        model, processor = self._load(folder)
        quantize(model, bits)
        ids = setting.train_ids
        mask = setting.forget_mask(self.group.ratio)
        stored = predict_splits(setting, model, processor, self.group.models)
        return outputs_by_split({name: one for name, one in stored.items() if name != SHIFTED}, ids[mask], ids[~mask])

    def _score(self, model: SplitOutputs, left_out: int | None = None) -> float | None:
        retrained, bases = self._references
        others = [one for position, one in enumerate(retrained) if position != left_out]
        try:
            return float(METRICS["score"].compute(Case(model, others, bases, majority_baseline(others[0]["test"]))))
        except NoSignal:
            return None


def add_values(row: Result, values: Mapping[str, Value]) -> Result:
    """Return a row with further values, checked like any other."""
    update = {"metrics": {**row.metrics, **values}}
    return Result.model_validate(row.model_copy(update=update).model_dump())


def _value(compute: Callable[[Any, list[Any]], float], own: float, retrained: list[Any], rows: int) -> Value | None:
    """Return a value, and the mean of the retrained models' own, each against the others; ``None`` without signal."""
    try:
        value = compute(own, retrained)
        left_out = [compute(one, [*retrained[:i], *retrained[i + 1 :]]) for i, one in enumerate(retrained)]
    except NoSignal:
        return None
    return Value(value=value, n=rows, retrained=float(np.mean(left_out)))
