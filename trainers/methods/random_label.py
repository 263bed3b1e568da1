"""Random labels: train on, with wrong labels for the forget rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mubench.hub_builders.terms import per_example_loss
from mubench.trainers.base import CLASSIFICATION, Paper, Term, UnlearningArguments, UnlearningTrainer


@dataclass
class RandomLabelArguments(UnlearningArguments):
    """Arguments of `RandomLabelTrainer`."""

    redraw: bool = field(default=False, metadata={"help": "Draw the wrong labels anew each epoch, not once (y')."})


def shift_labels(labels: torch.Tensor, shifts: torch.Tensor, classes: int) -> torch.Tensor:
    """Return other labels; shifts uniform over ``1 .. K-1`` give labels uniform over the ``K-1`` wrong ones.

    Args:
        labels: True labels, shape ``(B,)``.
        shifts: How far to move each one, shape ``(B,)``; 0 keeps it.
        classes: The number of classes ``K``.

    Returns:
        Labels to train on, shape ``(B,)``.
    """
    return (labels + shifts) % classes


class RandomLabelTrainer(UnlearningTrainer):
    """Trains on all rows, the forget rows with labels drawn from the wrong ones.

    ``L = mean_all CE(z, y')`` with ``y' = y`` on retain rows and ``y' ~ uniform({0 .. K-1} minus y)`` on forget rows.

    Args:
        model: The base model; ``K`` is the width of its logits.
        args: `RandomLabelArguments`.

    Requirements:
        Forget and retain rows, two classes at least. With two classes the draw is a flip, which pushes the forget
        rows below what a retrained model would say of them.

    Relations:
        `SalunTrainer` is this, on the salient weights only.
    """

    paper = Paper("Amnesiac Machine Learning", "AAAI 2021", "2010.10981", "Graves et al.")
    kinds = CLASSIFICATION
    arguments = RandomLabelArguments
    args: RandomLabelArguments

    def shifts(self, classes: int) -> torch.Tensor:
        """Return the current shift of every forget row, shape ``(n_f,)``: a pure function of seed and epoch.

        Raises:
            ValueError: If there is no wrong label.
        """
        if classes < 2:
            raise ValueError(f"random labels need at least 2 classes, got {classes}")
        epoch = int(self.state.epoch or 0) if self.args.redraw else 0
        return torch.from_numpy(self.generator(f"labels {epoch}").integers(1, classes, len(self.forget_rows)))

    def training_labels(self, batch: Mapping[str, Any], classes: int) -> torch.Tensor:
        """Return the labels to train a batch on, shape ``(B,)``; the batch and the rows keep theirs."""
        labels: torch.Tensor = batch["labels"].clone()
        forget = batch["forget"]
        shifts = self.shifts(classes).to(labels.device)[batch["index"][forget]]
        labels[forget] = shift_labels(labels[forget], shifts, classes)
        return labels

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the cross-entropy of all rows with the labels of this epoch."""
        logits = self.logits(model, batch)
        return [Term("all", per_example_loss(logits, self.training_labels(batch, logits.shape[-1])))]
