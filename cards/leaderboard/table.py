"""A table of the leaderboard: ranked lines and controls of one setting, with their title and standing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mubench.cards.leaderboard.entries import Array, Entry, beats, group_by_seed
from mubench.trainers.evaluation.result import ENOUGH_BASES, ENOUGH_RETRAINED, Result
from mubench.trainers.metrics.score import SCORE_VERSION

CAVEATS: dict[str, str] = {
    "mini": "Rows of tier mini show that things run; their ranks are no result.",
    "partial": "Rows of tier partial are of a subset of the original data, or of other real data in its layout.",
    "custom": "Rows of tier custom are of a custom task, and rank apart from those of the suite.",
}
DIGITS = 2  # of S in tables
CURVE = "compute-matched curve (retrain_at)"


@dataclass(frozen=True, eq=False)
class CurvePoint:
    """A point of the compute-matched curve: retraining for a part of the recipe's passes.

    Attributes:
        passes: Cost as a share of the passes of whole retraining.
        score: S.
        draws: S in every bootstrap draw, ``(J,)``.
    """

    passes: float
    score: float
    draws: Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """All lines of one (tier, task, family, deletion seed, ratio, split, backbone, evaluation seed, version of S).

    Attributes:
        row: One of the rows that were judged against all references; it has the setting and references of the table.
        no_signal: Why nothing is ranked, or ``None``.
        entries: Ranked lines, then those that rank among themselves (epochs selected by the retrained models; tables
            of outputs without a model), then unranked ones.
        controls: Controls, in the order of ``CONTROLS``.
        curve: The compute-matched curve from no passes to all, by cost; empty without ``retrain_at`` controls.
    """

    row: Result
    no_signal: str | None
    entries: tuple[Entry, ...]
    controls: tuple[Entry, ...]
    curve: tuple[CurvePoint, ...] = ()

    def usefulness(self, entry: Entry) -> Literal["yes", "maybe", "no"] | None:
        """Return whether S of a line is above that of retraining at its cost; ``None`` where that is unknown.

        ``yes``: the whole interval of the difference is above 0 (`beats`); ``maybe``: S is above, as printed.
        """
        if entry.score is None or entry.passes is None or entry.rows[0].control or not self.curve:
            return None
        weights = self._curve_weights(entry.passes)
        retraining = sum(weight * point.score for point, weight in weights)
        if round(entry.score, DIGITS) <= round(retraining, DIGITS):
            return "no"
        draws = np.sum([weight * point.draws for point, weight in weights], axis=0)
        return "yes" if beats(entry.draws, draws) else "maybe"

    def retraining_at(self, passes: float) -> float | None:
        """Return S of retraining for a share of the recipe's passes, between the controls; ``None`` without them."""
        return sum(weight * point.score for point, weight in self._curve_weights(passes)) if self.curve else None

    def curve_line(self, start: float, count: int = 200) -> tuple[Array, Array]:
        """Return costs and S along the compute-matched curve, for a logarithmic axis of cost.

        Each is ``(P,)``, of the controls and ``count`` costs in equal ratios, since what is linear in cost is curved
        on such an axis. Empty without controls.

        Args:
            start: The smallest cost, above 0; that of the cheapest control if this is smaller.
            count: Number of costs beside those of the controls.
        """
        if not self.curve:
            return np.zeros(0), np.zeros(0)
        costs, scores = np.transpose([(point.passes, point.score) for point in self.curve])
        places = np.union1d(np.geomspace(min(start, costs[1]), costs[-1], count), costs[1:])
        return places, np.interp(places, costs, scores)

    def _curve_weights(self, passes: float) -> list[tuple[CurvePoint, float]]:
        """Return the points of the curve beside a cost, and their weights in linear interpolation."""
        costs = [point.passes for point in self.curve]
        weights = [float(np.interp(passes, costs, one)) for one in np.eye(len(costs))]
        return [(point, weight) for point, weight in zip(self.curve, weights, strict=True) if weight]

    @property
    def title(self) -> str:
        """Task, tier, backbone, ratio, family and seeds."""
        row = self.row
        seed = f", deletion seed {row.deletion_seed}" if row.deletion_seed else ""
        evaluation = f", evaluation seed {row.eval_seed}" if row.eval_seed else ""
        version = "" if row.score_version == SCORE_VERSION else f", S of version {row.score_version}"
        deleted = f"{row.ratio} % deleted, {row.family} family"
        return f"{row.task} ({row.tier}), {row.backbone}: {deleted}{seed}{evaluation}{version}"

    @property
    def reported(self) -> tuple[str, ...]:
        """The metrics that the task reports beside S and a row carries."""
        lines = (*self.entries, *self.controls)
        return tuple(name for name in lines[0].reported if any(entry.reported[name] is not None for entry in lines))

    @property
    def seeds(self) -> str:
        """Number of seeds behind S of its lines, in words."""
        lines = [entry for entry in self.entries if entry.score is not None] or self.entries or self.controls
        counts = {len(group_by_seed(entry.rows)) for entry in lines}
        return "one seed" if counts == {1} else f"{'-'.join(map(str, sorted({min(counts), max(counts)})))} seeds"

    @property
    def caveat(self) -> str:
        """Caveat about rows of its tier; empty if there is none."""
        return CAVEATS.get(self.row.tier, "")

    @property
    def standing(self) -> str:
        """The reference models, the seeds of its lines, and whether ranks are provisional or missing."""
        row = self.row
        judged = f"judged against {row.reference_counts}, each S on {self.seeds}"
        if self.no_signal:
            return f"{judged}; NOT RANKED, {self.no_signal}"
        if row.provisional:
            return f"{judged}; PROVISIONAL, ranks count from {ENOUGH_RETRAINED} and {ENOUGH_BASES} on"
        return judged
