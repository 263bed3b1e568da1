"""Task vector negation: learn the forget rows still better, then go as far the other way."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from mubench.trainers.unlearning.unlearning_trainer import (
    CLASSIFICATION,
    TEXT_GENERATION,
    TEXT_TO_IMAGE,
    Paper,
    UnlearningArguments,
    UnlearningTrainer,
)


@dataclass
class TaskVectorArguments(UnlearningArguments):
    """Arguments of `TaskVectorTrainer`."""

    alpha: float = field(default=1.0, metadata={"help": "How far to go against the task vector (lambda)."})


class TaskVectorTrainer(UnlearningTrainer):
    """Trains on the forget rows, and subtracts from the base model what that has changed.

    ``theta <- theta_0 - alpha (theta+ - theta_0)`` with ``theta+ = argmin mean_forget CE(z, y)``, started at
    ``theta_0``.

    Args:
        model: The base model.
        args: `TaskVectorArguments`.

    Requirements:
        Forget rows; retain rows are not read. Memory for a second copy of the weights. Buffers, such as the statistics
        of BatchNorm, are those of the base model afterwards: there is no going the other way of a variance.

    Relations:
        `NegGradTrainer` goes uphill step by step where this takes one straight step; a base model that knows its rows
        by heart has a short task vector, which takes a large ``alpha``.
    """

    paper = Paper("Editing Models with Task Arithmetic", "ICLR 2023", "2212.04089", "Ilharco et al.")
    kinds = (*CLASSIFICATION, *TEXT_GENERATION, *TEXT_TO_IMAGE)
    arguments = TaskVectorArguments
    args: TaskVectorArguments
    per_weight = True
    splits = ("forget",)

    def prepare(self) -> None:
        """Keep the original weights and buffers."""
        self.weights = [weight.detach().clone() for weight in self.model.parameters()]
        self.buffers = [buffer.clone() for buffer in self.model.buffers()]

    def finish(self, model: torch.nn.Module) -> None:
        """Go from the original weights against the task vector."""
        with torch.no_grad():
            for weight, old in zip(model.parameters(), self.weights, strict=True):
                weight.copy_(old - self.args.alpha * (weight - old))
            for buffer, old in zip(model.buffers(), self.buffers, strict=True):
                buffer.copy_(old)
