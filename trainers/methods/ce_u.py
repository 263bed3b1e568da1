"""CE-U: distils the model's own output on the forget set without the true class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mubench.trainers.engine.losses import IGNORED, lower_label_logit, soft_cross_entropy
from mubench.trainers.unlearning.kinds import CLASSIFICATION, TEXT_GENERATION
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import CountOrZero


@dataclass
class CeUArguments(UnlearningArguments):
    """Arguments of `CeUTrainer`."""

    ignore_first_n: CountOrZero = field(
        default=1, metadata={"help": "Answer tokens at the start that are not trained on (language models only)."}
    )


def without_first(labels: torch.Tensor, count: int) -> torch.Tensor:
    """Return token labels, ``(B, T)``, without the first answer tokens of every example; class labels as they are."""
    if labels.ndim == 1:
        return labels
    answer = labels != IGNORED
    return labels.masked_fill(answer & (answer.cumsum(dim=1) <= count), IGNORED)


class CeUTrainer(UnlearningTrainer):
    """Trains the forget set towards the model's own output with the logit of the true class removed.

    ``L = mean_forget CE(q, p)`` with ``p = softmax(z)`` and ``q = softmax(z, where z[y] = -inf)``, through which no
    gradient flows; for language models the mean over the answer tokens except the first ``ignore_first_n``.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Requirements:
        Forget set; the retain set is not read. An answer of at most ``ignore_first_n`` tokens has no loss; if all
        answers are that short, nothing is trained.

    Relations:
        `DeleteTrainer` computes the target from the base model instead, which takes a second model in memory. Unlike
        that of `NegGradTrainer`, the gradient ``p - q`` is bounded.
    """

    paper = Paper("CE-U: Cross Entropy Unlearning", "arXiv 2025", "2503.01224", "Yang")
    kinds = (*CLASSIFICATION, *TEXT_GENERATION)
    adapted_kinds = CLASSIFICATION
    arguments = CeUArguments
    like = "neg_grad"
    args: CeUArguments
    splits = ("forget",)

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        logits, labels = self.logits(model, batch), without_first(batch["labels"], self.args.ignore_first_n)
        target = lower_label_logit(logits.detach(), labels, math.inf).softmax(dim=-1)
        return [Term("forget", soft_cross_entropy(target, logits, labels)[batch["forget"]])]
