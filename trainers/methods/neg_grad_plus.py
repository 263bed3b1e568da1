"""NegGrad+ and GradDiff: ascends on the forget set while descending on the retain set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import torch

from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.unlearning.forget_retain import pair_rows
from mubench.trainers.unlearning.kinds import ALL_KINDS
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import ShareOrZero


@dataclass
class NegGradPlusArguments(UnlearningArguments):
    """Arguments of `NegGradPlusTrainer`; the defaults are those of the paper's small setting."""

    alpha: ShareOrZero = field(
        default=0.95, metadata={"help": "Weight of the retain loss; the forget loss has 1 - alpha."}
    )
    anchor: Annotated[str, ("retain", "forget")] = field(
        default="retain",
        metadata={"help": "Set that an epoch passes over once: retain (NegGrad+) or forget (GradDiff)."},
    )


class NegGradPlusTrainer(UnlearningTrainer):
    """Ascends on the forget set and descends on as many retain examples.

    ``L = alpha mean_retain CE(z, y) - (1 - alpha) mean_forget CE(z, y)``

    A batch consists of pairs of a forget and a retain example. Anchored at retain, an epoch is one pass over the
    retain set that uses every forget example equally often; anchored at forget, it is one pass over the forget set
    with sampled retain examples. Where BatchNorm takes its statistics from the batch, both sets go through the model
    apart, as in the authors' code; elsewhere at once.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Requirements:
        Forget and retain sets. The loss is unbounded: a small ``alpha`` ruins a model as `NegGradTrainer` does.

    Relations:
        ``alpha = 1`` anchored at retain is `FinetuneTrainer`, ``alpha = 0`` anchored at forget `NegGradTrainer`.
        Anchored at forget with ``alpha = 0.5`` it is GradDiff (Liu et al., CoLLAs 2022, 2203.12817), whose loss
        ``mean_retain CE - mean_forget CE`` is twice this one. `KlMinTrainer` keeps outputs in place of labels.
    """

    paper = Paper("Towards Unbounded Machine Unlearning", "NeurIPS 2023", "2302.09880", "Kurmanji et al.")
    kinds = ALL_KINDS
    arguments = NegGradPlusArguments
    like = "finetune"
    args: NegGradPlusArguments

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: a pair for every example of the anchor."""
        sets = [self.forget_rows, self.retain_rows]
        anchor, other = sets if self.args.anchor == "forget" else sets[::-1]
        return [pair_rows(anchor, other, self.generator(f"pairs {epoch}"))]

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        values = per_example_loss(self.logits_of_splits(model, batch), batch["labels"])
        forget = batch["forget"]
        return [Term("retain", values[~forget], self.args.alpha), Term("forget", values[forget], self.args.alpha - 1)]
