"""Retrain with half of the forget set kept: a control with a known place on the scale."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mubench.trainers.methods.retrain import RetrainTrainer


class RetrainKeep50Trainer(RetrainTrainer):
    """Trains a fresh model on the retain set and every second forget example.

    ``L = mean_{retain + half of forget} CE(z, y)``

    It forgets half of the forget set, so a valid score places it half-way. Reported in every table, never ranked.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Requirements:
        Forget and retain sets, the forget set in deletion order.

    Relations:
        `RetrainTrainer` keeps nothing of the forget set.
    """

    splits: ClassVar[tuple[str, ...]] = ("forget", "retain")
    is_control = True

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: every second forget example, from the first, and the retain set."""
        return [np.concatenate([self.forget_rows[::2], self.retain_rows])]
