"""Retrain: the reference that every other method is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mubench.trainers.unlearning.kinds import ALL_KINDS
from mubench.trainers.unlearning.unlearning_trainer import Paper, UnlearningArguments, UnlearningTrainer


@dataclass
class RetrainArguments(UnlearningArguments):
    """Retraining has no arguments of its own: it uses the recipe of the base model."""


class RetrainTrainer(UnlearningTrainer):
    """Trains a fresh model on the retain set alone.

    ``L = mean_retain CE(z, y)``

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Args:
        model: A freshly initialised model (or the pretrained one the base model started from), never the base model.
        args: Arguments of the base model's recipe.

    Requirements:
        Retain set. With an empty forget set the weights are those of the base model's own training, bit for bit.

    Relations:
        `FinetuneTrainer` is the same training from the base model's weights.
    """

    paper = Paper("Machine Unlearning", "IEEE S&P 2021", "1912.03817", "Bourtoule et al.")
    kinds = ALL_KINDS
    arguments = RetrainArguments
    splits: ClassVar[tuple[str, ...]] = ("retain",)
    from_scratch = True
