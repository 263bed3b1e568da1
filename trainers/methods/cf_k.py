"""CF-k: fine-tunes the last k blocks on the retain set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mubench.trainers.tools.blocks import BlockSplit, split_before
from mubench.trainers.unlearning.kinds import ALL_KINDS
from mubench.trainers.unlearning.unlearning_trainer import Paper, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import CountOrZero


@dataclass
class CfKArguments(UnlearningArguments):
    """Arguments of `CfKTrainer`."""

    k: CountOrZero = field(
        default=1, metadata={"help": "Number of blocks to train, counted from the last; 0 trains the head alone (k)."}
    )
    blocks: str | None = field(
        default=None, metadata={"help": "Name of the model's list of blocks; default: the last one."}
    )


class CfKTrainer(UnlearningTrainer):
    """Fine-tunes the last ``k`` blocks and everything after them on the retain set, with the rest frozen.

    ``L = mean_retain CE(z, y)`` over the weights after the cut. Before the cut no weight and no BatchNorm statistic
    changes, and dropout is off. What follows the blocks, such as a final norm, a pooler and the head, is trained; a
    head that is tied to the embeddings is not.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Args:
        model: The base model; its blocks are the entries of the last `torch.nn.ModuleList` that is in no other: layers
            of a transformer or a decoder, stages of a ResNet, up blocks of a UNet, whose middle is trained as well.

    Requirements:
        Retain set; the forget set is not read. A model with a list of blocks.

    Relations:
        `EuKTrainer` first reinitialises the same weights; `FinetuneTrainer` trains all weights. Published as
        catastrophic forgetting of the last k layers (CF-k).
    """

    paper = Paper(
        "Towards Adversarial Evaluations for Inexact Machine Unlearning", "arXiv 2022", "2201.06640", "Goel et al."
    )
    kinds = ALL_KINDS
    arguments = CfKArguments
    like = "finetune"
    args: CfKArguments
    splits = ("retain",)
    split: BlockSplit

    def prepare(self) -> None:
        """Freeze everything before the last ``k`` blocks."""
        self.split = split_before(self.model, self.args.k, self.args.blocks)
        self.split.freeze()

    def logits(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
        """Run a forward pass with everything before the cut in eval mode."""
        self.split.set_eval()
        return super().logits(model, batch)
