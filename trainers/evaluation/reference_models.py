"""`ReferenceModels`: what runs are judged against, with everything that only the references decide computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mubench.trainers.evaluation.result import References
from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.inference.storage import RANDOM
from mubench.trainers.metrics import METRICS, Case, Metric, NoSignal, NotDefined, SplitOutputs
from mubench.trainers.metrics.evidence import EvidenceRows, ReferenceEvidence
from mubench.trainers.metrics.signal_gate import signal_gate


@dataclass(frozen=True, eq=False)
class ReferenceModels:
    """The retrained models and bases of a group.

    Attributes:
        seeds: Their seeds, and what identifies them in rows.
        evidence: Evidence of both, in the order of the seeds.
        retrained: Outputs of the retrained models, by ascending seed; empty where only evidence is at hand.
        bases: Outputs of the bases, by ascending seed; empty there too.
        random: Outputs of a randomly initialised model on the forget rows, where they are at hand.
    """

    seeds: References
    evidence: ReferenceEvidence
    retrained: Mapping[int, SplitOutputs]
    bases: Mapping[int, SplitOutputs]
    random: Outputs | None = None

    @classmethod
    def from_outputs(
        cls, retrained: Mapping[int, SplitOutputs], bases: Mapping[int, SplitOutputs], chance: float
    ) -> ReferenceModels:
        """Return the references for outputs by seed; those of a randomly initialised model are the first base's.

        Raises:
            ValueError: If there are fewer than 2 retrained models or no base, or outputs are not finite.
        """
        for kind, models in (("retrained", retrained), ("base", bases)):
            for seed, splits in models.items():
                if not all(outputs.is_finite() for outputs in splits.values()):
                    raise ValueError(f"expected finite outputs of all reference models, got NaN of {kind} s{seed}")
        seeds = References(retrained=sorted(retrained), bases=sorted(bases))
        random = bases[seeds.bases[0]].get(RANDOM)
        retrained, bases = (
            {seed: {split: one for split, one in group[seed].items() if split != RANDOM} for seed in sorted(group)}
            for group in (retrained, bases)
        )
        rows = EvidenceRows.of(retrained[seeds.retrained[0]], chance)
        evidence = ReferenceEvidence(
            rows, [rows.read(one) for one in retrained.values()], [rows.read(one) for one in bases.values()]
        )
        return cls(seeds, evidence, retrained, bases, random)

    def case(self, model: SplitOutputs, method: str | None = None) -> Case:
        """Return the case of a judged model, and of the method that made it."""
        retrained, bases = list(self.retrained.values()), list(self.bases.values())
        return Case(
            model, retrained, bases, self.evidence.rows.chance, self.evidence, method=method, random=self.random
        )

    @cached_property
    def leave_one_out(self) -> dict[int, ReferenceModels]:
        """The references without the retrained model of each seed; empty if they would be fewer than 2."""
        if len(self.seeds.retrained) < 3:
            return {}
        return {seed: self._without(i, seed) for i, seed in enumerate(self.seeds.retrained)}

    def _without(self, index: int, seed: int) -> ReferenceModels:
        bases = len(self.seeds.bases)
        changed = {"retrained": [other for other in self.seeds.retrained if other != seed]}
        for name in ("identities", "outputs"):
            values = getattr(self.seeds, name)
            changed[name] = [*values[:index], *values[index + 1 :]] if len(values) > bases else values
        others = {other: outputs for other, outputs in self.retrained.items() if other != seed}
        seeds = self.seeds.model_copy(update=changed)
        return ReferenceModels(seeds, self.evidence.leave_one_out[index], others, self.bases, self.random)

    @cached_property
    def _cases(self) -> list[Case]:
        """One case per retrained model, judged against the others."""
        return self.case({}).leave_one_out

    @cached_property
    def retrained_means(self) -> dict[str, float | None]:
        """Mean of every metric over the retrained models, each judged against the others; ``None`` for too few."""
        return {name: self._retrained_mean(metric) for name, metric in METRICS.items()}

    def _retrained_mean(self, metric: Metric) -> float | None:
        if not all(case.has(metric) for case in self._cases):
            return None
        try:
            return float(np.mean([metric.compute(case) for case in self._cases]))
        except (NoSignal, NotDefined):  # one retrained model less may leave no signal
            return None

    @cached_property
    def signal_gate(self) -> tuple[float | None, str | None]:
        """The spread of retrained models' ``row``, and why the group has no signal, if so."""
        return signal_gate(self.case({}))
