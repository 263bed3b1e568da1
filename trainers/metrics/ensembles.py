"""`Pools`: models of one method and retrained models, many of each, as metrics over ensembles read them.

Letters: ``N`` models of a pool, ``n`` rows of a split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mubench.trainers.inference.outputs import Array
from mubench.trainers.metrics.case import Better
from mubench.trainers.metrics.evidence import SplitOutputs


@dataclass(frozen=True, eq=False)
class Pool:
    """Models that differ in nothing but their seeds.

    Attributes:
        margins: Log-odds of the right answer by split, ``(N, n)``.
        scores: Task score by split, ``(N,)``.
        ids: Example ids by split, ``(n,)``.
    """

    margins: Mapping[str, Array]
    scores: Mapping[str, Array]
    ids: Mapping[str, npt.NDArray[np.str_]]

    def __len__(self) -> int:
        return len(next(iter(self.scores.values())))

    @classmethod
    def of(cls, models: Iterable[SplitOutputs]) -> Pool:
        """Return the pool of these models, of which only one needs to be in memory at a time.

        Raises:
            ValueError: If there is no model, or one has other splits or rows than the first.
        """
        margins: dict[str, list[Array]] = {}
        scores: dict[str, list[float]] = {}
        ids: dict[str, npt.NDArray[np.str_]] = {}
        for model in models:
            ids = ids or {split: outputs.ids for split, outputs in model.items()}
            _check_rows(ids, {split: outputs.ids for split, outputs in model.items()})
            for split, outputs in model.items():
                margins.setdefault(split, []).append(outputs.log_odds)
                scores.setdefault(split, []).append(float(outputs.correct.mean()))
        if not ids:
            raise ValueError("expected at least 1 model in a pool, got 0")
        stacked = {split: np.stack(lines) for split, lines in margins.items()}
        return cls(stacked, {split: np.array(values) for split, values in scores.items()}, ids)

    def take(self, models: slice) -> Pool:
        """Return the pool of some of its models."""
        margins = {split: values[models] for split, values in self.margins.items()}
        return Pool(margins, {split: values[models] for split, values in self.scores.items()}, self.ids)


@dataclass(frozen=True, eq=False)
class Pools:
    """The models of a method, and the retrained models that they are compared with.

    Raises:
        ValueError: If the two have different rows.
    """

    unlearned: Pool
    retrained: Pool

    def __post_init__(self) -> None:
        _check_rows(self.retrained.ids, self.unlearned.ids)

    def margins(self, split: str) -> tuple[Array, Array]:
        """Return the log-odds of both pools on a split, ``(N_unlearned, n)`` and ``(N_retrained, n)``."""
        return self.unlearned.margins[split], self.retrained.margins[split]


def _check_rows(expected: Mapping[str, npt.NDArray[np.str_]], found: Mapping[str, npt.NDArray[np.str_]]) -> None:
    if set(expected) != set(found):
        raise ValueError(f"expected outputs of {', '.join(sorted(expected))}, got {', '.join(sorted(found))}")
    for split, ids in expected.items():
        if not np.array_equal(ids, found[split]):
            raise ValueError(f"expected all models to have the same rows of {split!r}, got others")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleMetric:
    """A metric over pools of models, and its description; the fields are those of `Metric`.

    Attributes:
        compute: Computes the value from pools.
        models: Minimum number of models of each pool.
    """

    compute: Callable[[Pools], float]
    title: str
    better: Better
    models: int
    unit: str = ""
    range: tuple[float, float] = (0.0, 1.0)
    needs: tuple[str, ...] = ("forget",)
    paper: str = "mubench"

    def measure(self, pools: Pools) -> float:
        """Return the value.

        Raises:
            ValueError: If a pool is too small, or lacks a split.
        """
        sizes = len(pools.unlearned), len(pools.retrained)
        if min(sizes) < self.models:
            raise ValueError(
                f"expected at least {self.models} unlearned and {self.models} retrained models, "
                f"got {sizes[0]} and {sizes[1]}"
            )
        if missing := set(self.needs) - set(pools.unlearned.margins):
            raise ValueError(f"expected outputs of {', '.join(self.needs)}, got none of {', '.join(sorted(missing))}")
        return self.compute(pools)
