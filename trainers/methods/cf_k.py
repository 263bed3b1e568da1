"""CF-k: fine-tuning of the last k blocks on the retain rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mubench.trainers.methods.finetune import FinetuneArguments, FinetuneTrainer
from mubench.trainers.tools.blocks import Split, split_before
from mubench.trainers.unlearning.unlearning_trainer import Paper


@dataclass
class CfKArguments(FinetuneArguments):
    """Arguments of `CfKTrainer`."""

    k: int = field(
        default=1, metadata={"help": "Blocks that are trained, the last ones; 0 trains the head alone (k)."}
    )
    blocks: str | None = field(
        default=None, metadata={"help": "Name of the model's list of blocks; default: the last one that it has."}
    )

    def __post_init__(self) -> None:
        """Refuse a number of blocks that is none."""
        super().__post_init__()
        if self.k < 0:
            raise ValueError(f"k must be 0 or more, got {self.k}")


class CfKTrainer(FinetuneTrainer):
    """Goes on training the last ``k`` blocks and what follows them, and holds all before still.

    ``L = mean_retain CE(z, y)`` over the weights after the cut. Before it no weight moves and no statistic of a
    BatchNorm; dropout is off there. What follows the blocks, such as a final norm, a pooler and the head, is trained;
    a head that is tied to the embeddings is not.

    Args:
        model: The base model; a block is one of the last `torch.nn.ModuleList` that is in no other: a layer of a
            transformer or a decoder, a stage of a ResNet, an up block of a UNet, whose middle is trained as well.
        args: `CfKArguments`.

    Requirements:
        Retain rows; forget rows are not read. A model with a list of blocks.

    Relations:
        `EuKTrainer` initialises the same weights afresh first; `FinetuneTrainer` trains all. Published as catastrophic
        forgetting of the last k layers (CF-k).
    """

    paper = Paper(
        "Towards Adversarial Evaluations for Inexact Machine Unlearning", "arXiv 2022", "2201.06640", "Goel et al."
    )
    arguments = CfKArguments
    args: CfKArguments
    split: Split

    def prepare(self) -> None:
        """Cut the model and freeze what comes before the cut."""
        self.split = split_before(self.model, self.args.k, self.args.blocks)
        self.split.freeze()

    def logits(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
        """Run a forward pass in which nothing before the cut is in training mode."""
        self.split.hold()
        return super().logits(model, batch)
