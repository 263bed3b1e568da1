"""Retrain with half of the forget rows kept: a control whose place on the scale is known beforehand."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mubench.trainers.methods.retrain import RetrainTrainer


class RetrainKeep50Trainer(RetrainTrainer):
    """Trains on the retain rows and every second forget row.

    ``L = mean_{retain + half of forget} CE(z, y)``

    It has forgotten half of what it should, so a score that means something puts it half-way. Shown in every table,
    never ranked.

    Requirements:
        Forget and retain rows, forget rows in deletion order.

    Relations:
        `RetrainTrainer` keeps none of the forget rows.
    """

    splits: ClassVar[tuple[str, ...]] = ("forget", "retain")
    is_control = True

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: the first, third, ... forget row and all retain rows."""
        return [np.concatenate([self.forget_rows[::2], self.retain_rows])]
