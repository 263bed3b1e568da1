"""What a metric is given (``Case``) and what it says about itself (``Metric``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from mubench.trainers.inference.outputs import Outputs

SplitOutputs = Mapping[str, Outputs]
Better = Literal["higher", "lower", "near retrained"]


class NoSignal(ValueError):  # noqa: N818  it is a finding about the task, not a mistake in the program
    """Base and retrained models cannot be told apart by a quantity that the score divides by."""


@dataclass(frozen=True, eq=False)
class Case:
    """A model to judge, beside the models it is judged against.

    Attributes:
        model: Outputs of the judged model: ``forget``, ``retain``, ``test`` and what else the task has.
        retrained: Outputs of the retrained models; a retrained model that is judged is not among them.
        bases: Outputs of the base models, by base seed.
        chance: Score of the best guess that looks at no row.
    """

    model: SplitOutputs
    retrained: Sequence[SplitOutputs]
    bases: Sequence[SplitOutputs]
    chance: float

    def __post_init__(self) -> None:
        for name, views in self._others():
            for split, outputs in self.model.items():
                if split not in views:
                    raise ValueError(f"expected {name} to have outputs of split {split!r}, got {', '.join(views)}")
                if not np.array_equal(views[split].ids, outputs.ids):
                    raise ValueError(f"expected {name} to have the judged model's rows of {split!r}, got other rows")

    def _others(self) -> list[tuple[str, SplitOutputs]]:
        retrained = [(f"retrained model {i}", views) for i, views in enumerate(self.retrained)]
        return retrained + [(f"base model {i}", views) for i, views in enumerate(self.bases)]

    @cached_property
    def leave_one_out(self) -> list[Case]:
        """One case per retrained model, judged against the other ones."""
        return [
            Case(model, [*self.retrained[:i], *self.retrained[i + 1 :]], self.bases, self.chance)
            for i, model in enumerate(self.retrained)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric and how to read it.

    Attributes:
        compute: The number, from a case.
        title: What it is, in words.
        better: Which direction is better.
        unit: Unit of the number; empty for a plain fraction.
        range: Smallest and largest possible value.
        needs: Splits it reads; its ``n`` is the rows of the first.
        references: How many retrained models it needs at least.
        bases: How many base models it needs at least.
        paper: Where it comes from.
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
