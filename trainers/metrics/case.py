"""The input of a metric (`Case`) and its description (`Metric`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.metrics.evidence import Evidence, EvidenceRows, ReferenceEvidence, SplitOutputs

Better = Literal["higher", "lower", "near retrained"]


class NoSignal(ValueError):  # noqa: N818  a finding about the task, not an error of the program
    """A difference between base and retrained models that the score divides by is 0."""


class NotDefined(ValueError):  # noqa: N818  a finding about the task, not an error of the program
    """A metric has no value for this task, such as an attack with too few rows; the others have theirs."""


@dataclass(frozen=True, eq=False)
class Case:
    """A judged model and its reference models.

    Attributes:
        model: Outputs of the judged model on ``forget``, ``retain``, ``test`` and further splits of the task.
        retrained: Outputs of the retrained models, without the judged one.
        bases: Outputs of the base models, by base seed.
        chance: Accuracy of the best constant prediction.
        known: Evidence of the references, where it is at hand: several cases then share it, and it may stand alone,
            without the references' outputs.
        known_evidence: Evidence of the judged model, where it is at hand; it may stand alone, without outputs.
        method: Key of the method that made the judged model, where a metric treats methods differently; else ``None``.
        random: Outputs of a randomly initialised model on the forget rows, where they are at hand.

    Raises:
        ValueError: If a reference model lacks a split of the judged model, or has other rows in it.
    """

    model: SplitOutputs
    retrained: Sequence[SplitOutputs]
    bases: Sequence[SplitOutputs]
    chance: float
    known: ReferenceEvidence | None = None
    known_evidence: Evidence | None = None
    method: str | None = None
    random: Outputs | None = None

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
    def reference(self) -> ReferenceEvidence:
        """Evidence of the reference models."""
        if self.known is not None:
            return self.known
        rows = EvidenceRows.of(self.model, self.chance)
        return ReferenceEvidence(rows, list(map(rows.read, self.retrained)), list(map(rows.read, self.bases)))

    @cached_property
    def evidence(self) -> Evidence:
        """Evidence of the judged model."""
        return self.known_evidence or self.reference.rows.read(self.model)

    @cached_property
    def leave_one_out(self) -> list[Case]:
        """One case per retrained model, judged against the others; without outputs where those are not at hand."""
        evidence, others = self.reference.retrained, self.reference.leave_one_out
        outputs = self.retrained or [{}] * len(evidence)
        return [
            Case(
                model=outputs[i],
                retrained=[*self.retrained[:i], *self.retrained[i + 1 :]],
                bases=self.bases,
                chance=self.chance,
                known=others[i],
                known_evidence=evidence[i],
                random=self.random,
            )
            for i in range(len(evidence))
        ]

    def has(self, metric: Metric) -> bool:
        """Whether the case has the splits and references that a metric needs."""
        if metric.random and self.random is None:
            return False
        retrained, bases = len(self.retrained), len(self.bases)
        if metric.evidence:
            retrained, bases = len(self.reference.retrained), len(self.reference.bases)
        models = (self.model, *self.retrained, *self.bases)
        splits = {*self.model} if all(map(metric.is_defined_for, models)) else set()
        if metric.evidence:
            known = [self.evidence, *self.reference.retrained, *self.reference.bases]
            splits = {"forget", "retain", "test", *(["shifted"] if all(one.shifted for one in known) else [])}
        return {*metric.needs} <= splits and retrained >= metric.references and bases >= metric.bases


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a value means.

    Attributes:
        title: One line on its meaning.
        better: Direction of better values.
        unit: Unit of the value; empty for a plain fraction.
        range: Smallest and largest possible value.
        needs: Splits that it reads; the ``n`` of a result counts the rows of the first one.
        references: Minimum number of retrained models.
        bases: Minimum number of base models.
        random: Whether it needs outputs of a randomly initialised model.
        evidence: Whether evidence of the references is enough, without their outputs.
        outputs: Kinds of outputs that it is defined for; by default all.
        paper: Its source.
        rows: Counts the rows of a split that it can read: 0 where outputs lack what it needs.
    """

    title: str
    better: Better
    unit: str = ""
    range: tuple[float, float] = (0.0, 1.0)
    needs: tuple[str, ...] = ("forget",)
    references: int = 0
    bases: int = 0
    random: bool = False
    evidence: bool = False
    outputs: tuple[type[Outputs], ...] = (Outputs,)
    paper: str = "mubench"
    rows: Callable[[Outputs], int] = len

    def is_defined_for(self, model: SplitOutputs) -> bool:
        """Whether a model has outputs of the splits that the metric reads, with what it is defined for."""
        found = [model.get(split) for split in self.needs]
        return all(isinstance(one, self.outputs) and self.rows(one) > 0 for one in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Description):
    """A metric that is computed from stored outputs.

    Attributes:
        compute: Computes the value from a case.
    """

    compute: Callable[[Case], float]
