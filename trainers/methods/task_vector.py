"""Task vector negation: fine-tunes on the forget set and moves in the opposite direction."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from mubench.trainers.unlearning.kinds import ALL_KINDS
from mubench.trainers.unlearning.unlearning_trainer import Paper, UnlearningArguments, UnlearningTrainer


@dataclass
class TaskVectorArguments(UnlearningArguments):
    """Arguments of `TaskVectorTrainer`."""

    alpha: float = field(default=1.0, metadata={"help": "Factor on the subtracted task vector (lambda)."})


class TaskVectorTrainer(UnlearningTrainer):
    """Trains on the forget set, and subtracts the resulting change from the base model.

    ``theta <- theta_0 - alpha (theta+ - theta_0)`` with ``theta+ = argmin mean_forget CE(z, y)``, started at
    ``theta_0``.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Requirements:
        Forget set; the retain set is not read. Memory for a second copy of the weights. Buffers, such as the
        statistics of BatchNorm, are restored to those of the base model, since a negated change of a variance has no
        meaning.

    Relations:
        `NegGradTrainer` ascends step by step, this takes one straight step; a base model that has memorised its
        training data has a short task vector, which needs a large ``alpha``.
    """

    paper = Paper("Editing Models with Task Arithmetic", "ICLR 2023", "2212.04089", "Ilharco et al.")
    kinds = ALL_KINDS
    arguments = TaskVectorArguments
    like = "neg_grad"
    args: TaskVectorArguments
    per_weight = True
    splits = ("forget",)

    def prepare(self) -> None:
        """Store the original weights and buffers."""
        self.weights = [weight.detach().clone() for weight in self.model.parameters()]
        self.buffers = [buffer.clone() for buffer in self.model.buffers()]

    def finish(self, model: torch.nn.Module) -> None:
        """Move from the original weights against the task vector."""
        with torch.no_grad():
            for weight, old in zip(model.parameters(), self.weights, strict=True):
                weight.copy_(old - self.args.alpha * (weight - old))
            for buffer, old in zip(model.buffers(), self.buffers, strict=True):
                buffer.copy_(old)
