"""Retrain for a share of the recipe's steps: the control that shows what the same compute buys without a method."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Annotated, Any

from torch.utils.data import DataLoader
from transformers import TrainingArguments

from mubench.trainers.methods.retrain import RetrainArguments, RetrainTrainer
from mubench.trainers.unlearning.value_ranges import Range


@dataclass
class RetrainAtArguments(RetrainArguments):
    """Arguments of `RetrainAtTrainer`."""

    percent: Annotated[int, Range("1 to 100", 1, 100)] = field(
        default=10, metadata={"help": "Percentage of the recipe's optimizer steps."}
    )


class RetrainAtTrainer(RetrainTrainer):
    """Trains a fresh model on the retain set for a percentage of the recipe's optimizer steps.

    ``L = mean_retain CE(z, y)``

    The learning rate's schedule, warm-up included, is that of the recipe over the shortened run; batches, BatchNorm
    and all else are those of the recipe. At 2, 5, 10, 20 and 50 percent it makes the compute-matched curve: a method
    is of use where it scores higher at the same cost. Reported in every table, never ranked.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Requirements:
        Retain set.

    Relations:
        ``percent = 100`` is `RetrainTrainer`.
    """

    arguments = RetrainAtArguments
    args: RetrainAtArguments
    is_control = True

    def set_initial_training_values(self, args: TrainingArguments, dataloader: DataLoader[Any]) -> Any:
        """Count the steps of the shortened run, at least one, in place of those of the recipe."""
        *_, steps = super().set_initial_training_values(args, dataloader)
        args = copy.copy(args)
        args.max_steps = math.ceil(steps * self.args.percent / 100)
        return super().set_initial_training_values(args, dataloader)
