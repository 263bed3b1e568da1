"""Fine-tuning on the retain set, the baseline that forgets by continued training alone."""

from __future__ import annotations

from dataclasses import dataclass

from mubench.trainers.unlearning.kinds import ALL_KINDS
from mubench.trainers.unlearning.unlearning_trainer import Paper, UnlearningArguments, UnlearningTrainer


@dataclass
class FinetuneArguments(UnlearningArguments):
    """Fine-tuning has no arguments of its own."""


class FinetuneTrainer(UnlearningTrainer):
    """Continues training the base model on the retain set.

    ``L = mean_retain CE(z, y)``

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Requirements:
        Retain set; the forget set is not read.

    Relations:
        The baseline of every method that trains on the retain set; `ScrubTrainer` adds a teacher and passes that
        forget.
    """

    paper = Paper(
        "Eternal Sunshine of the Spotless Net: Selective Forgetting in Deep Networks",
        "CVPR 2020", "1911.04933", "Golatkar et al.",
    )  # fmt: skip
    kinds = ALL_KINDS
    arguments = FinetuneArguments
    splits = ("retain",)
