"""NegGrad+ and GradDiff: ascends on the forget set while descending on the retain set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.unlearning.forget_retain import pair_rows
from mubench.trainers.unlearning.unlearning_trainer import (
    CLASSIFICATION,
    TEXT_GENERATION,
    TEXT_TO_IMAGE,
    Paper,
    Term,
    UnlearningArguments,
    UnlearningTrainer,
)


@dataclass
class NegGradPlusArguments(UnlearningArguments):
    """Arguments of `NegGradPlusTrainer`; the defaults are those of the paper's small setting."""

    alpha: float = field(default=0.95, metadata={"help": "Weight of the retain loss; the forget loss has 1 - alpha."})
    anchor: str = field(
        default="retain",
        metadata={"help": "Set that an epoch passes over once: retain (NegGrad+) or forget (GradDiff)."},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha must lie in [0, 1], got {self.alpha}")
        if self.anchor not in ("retain", "forget"):
            raise ValueError(f"anchor must be retain or forget, got {self.anchor!r}")


class NegGradPlusTrainer(UnlearningTrainer):
    """Ascends on the forget set and descends on as many retain examples.

    ``L = alpha mean_retain CE(z, y) - (1 - alpha) mean_forget CE(z, y)``

    A batch consists of pairs of a forget and a retain example. Anchored at retain, an epoch is one pass over the
    retain set that uses every forget example equally often; anchored at forget, it is one pass over the forget set
    with sampled retain examples.

    Args:
        model: The base model.
        args: `NegGradPlusArguments`; a batch size counts pairs.

    Requirements:
        Forget and retain sets. The loss is unbounded: a small ``alpha`` ruins a model as `NegGradTrainer` does.

    Relations:
        ``alpha = 1`` anchored at retain is `FinetuneTrainer`, ``alpha = 0`` anchored at forget `NegGradTrainer`.
        Anchored at forget with ``alpha = 0.5`` it is GradDiff (Liu et al., CoLLAs 2022, 2203.12817), whose loss
        ``mean_retain CE - mean_forget CE`` is twice this one. `KlMinTrainer` keeps outputs in place of labels.
    """

    paper = Paper("Towards Unbounded Machine Unlearning", "NeurIPS 2023", "2302.09880", "Kurmanji et al.")
    kinds = (*CLASSIFICATION, *TEXT_GENERATION, *TEXT_TO_IMAGE)
    arguments = NegGradPlusArguments
    args: NegGradPlusArguments

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: a pair for every example of the anchor."""
        sets = [self.forget_rows, self.retain_rows]
        anchor, other = sets if self.args.anchor == "forget" else sets[::-1]
        return [pair_rows(anchor, other, self.generator(f"pairs {epoch}"))]

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the cross-entropy of both sets."""
        values = per_example_loss(self.logits(model, batch), batch["labels"])
        forget = batch["forget"]
        return [Term("retain", values[~forget], self.args.alpha), Term("forget", values[forget], self.args.alpha - 1)]
