"""The input of a metric (`Case`) and its description (`Metric`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from mubench.trainers.inference.outputs import Outputs

SplitOutputs = Mapping[str, Outputs]
Better = Literal["higher", "lower", "near retrained"]


class NoSignal(ValueError):  # noqa: N818  a finding about the task, not an error of the program
    """A difference between base and retrained models that the score divides by is 0."""


@dataclass(frozen=True, eq=False)
class Case:
    """A judged model and its reference models.

    Attributes:
        model: Outputs of the judged model on ``forget``, ``retain``, ``test`` and further splits of the task.
        retrained: Outputs of the retrained models, without the judged one.
        bases: Outputs of the base models, by base seed.
        chance: Accuracy of the best constant prediction.

    Raises:
        ValueError: If a reference model lacks a split of the judged model, or has other rows in it.
    """

    model: SplitOutputs
    retrained: Sequence[SplitOutputs]
    bases: Sequence[SplitOutputs]
    chance: float

    def __post_init__(self) -> None:
        for name, others in self._references():
            for split, outputs in self.model.items():
                if split not in others:
                    raise ValueError(f"expected {name} to have outputs of split {split!r}, got {', '.join(others)}")
                if not np.array_equal(others[split].ids, outputs.ids):
                    raise ValueError(f"expected {name} to have the judged model's rows of {split!r}, got other rows")

    def _references(self) -> list[tuple[str, SplitOutputs]]:
        retrained = [(f"retrained model {i}", outputs) for i, outputs in enumerate(self.retrained)]
        return retrained + [(f"base model {i}", outputs) for i, outputs in enumerate(self.bases)]

    @cached_property
    def leave_one_out(self) -> list[Case]:
        """One case per retrained model, judged against the others."""
        return [
            Case(model, [*self.retrained[:i], *self.retrained[i + 1 :]], self.bases, self.chance)
            for i, model in enumerate(self.retrained)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric and its description.

    Attributes:
        compute: Computes the value from a case.
        title: One line on its meaning.
        better: Direction of better values.
        unit: Unit of the value; empty for a plain fraction.
        range: Smallest and largest possible value.
        needs: Splits that it reads; the ``n`` of a result counts the rows of the first one.
        references: Minimum number of retrained models.
        bases: Minimum number of base models.
        paper: Its source.
        rows: Counts the rows of a split that it can read: 0 where outputs lack what it needs.
    """

    compute: Callable[[Case], float]
    title: str
    better: Better
    unit: str = ""
    range: tuple[float, float] = (0.0, 1.0)
    needs: tuple[str, ...] = ("forget",)
    references: int = 0
    bases: int = 0
    paper: str = "mubench"
    rows: Callable[[Outputs], int] = len

    def applies(self, case: Case) -> bool:
        """Whether the judged model and all references have what it reads."""
        models = (case.model, *case.retrained, *case.bases)
        return set(self.needs) <= set(case.model) and all(
            self.rows(model[split]) for model in models for split in self.needs
        )
