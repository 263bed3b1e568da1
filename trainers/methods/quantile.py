"""Quantile: distils the base model, with the confidence that it has on unseen rows in place of that on forget rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from mubench.trainers.engine.losses import lower_label_logit, soft_cross_entropy
from mubench.trainers.unlearning.forget_retain import ForgetRetain
from mubench.trainers.unlearning.kinds import CLASSIFICATION
from mubench.trainers.unlearning.teachers import frozen_logits
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer


@dataclass
class QuantileArguments(UnlearningArguments):
    """`QuantileTrainer` has no arguments of its own."""


def log_odds(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return ``log p(y) - log(1 - p(y))``, shape ``(B,)``, fp32, of logits ``(B, K)`` and classes ``(B,)``."""
    true = logits.float().gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return true - lower_label_logit(logits, labels, math.inf).logsumexp(dim=-1)


def map_to_quantiles(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return for every value the quantile of the others that has its place in the order.

    Args:
        values: Shape ``(n,)``; of equal ones the first is the smaller.
        others: Shape ``(m,)``.

    Returns:
        The quantiles of ``others`` at ``(r + 1/2) / n``, where ``r`` is a value's rank from 0, shape ``(n,)``; between
        two of them they are interpolated.
    """
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return np.quantile(others, (ranks + 0.5) / len(values))


def with_log_odds(logits: torch.Tensor, labels: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return probabilities ``(B, K)`` with these log-odds ``(B,)`` of the label; the others keep their proportions."""
    others = lower_label_logit(logits, labels, math.inf).log_softmax(dim=-1)
    return others.scatter(-1, labels.unsqueeze(-1), wanted.to(others).unsqueeze(-1)).softmax(dim=-1)


class QuantileTrainer(UnlearningTrainer):
    """Distils the base model, and makes it as sure of forget rows as it is of rows that it has never seen.

    ``L = mean_all KL(t || p)``. On retain rows ``t = p_0``, the output of the base model. On forget rows the log-odds
    of the true class are moved: the base model ranks the forget rows by theirs, and the row of rank ``r`` gets the
    quantile ``(r + 1/2) / n_f`` of the base model's log-odds of the true class on validation rows. The other classes
    share the rest in the proportions that they have in ``p_0``.

    Rows that the base model finds easy among the forget rows stay easy, and the error rate on forget rows becomes that
    on unseen rows. It reads no retrained model, only the base model and validation rows; it is not defined for tokens,
    whose targets would no longer be those of one sequence.

    Args:
        eval_dataset: Validation rows, of the distribution of the forget rows.

    Requirements:
        Forget, retain and validation sets. The forget set has the classes of the validation set: of whole forgotten
        classes the base model's validation rows say nothing.

    Relations:
        `DeleteTrainer` takes the true class away altogether; `LotusTrainer` matches the accuracy alone.
    """

    paper = Paper("mubench", "this suite", None, "the authors of mubench")
    kinds = CLASSIFICATION
    arguments = QuantileArguments
    like = "random_label"
    args: QuantileArguments
    uses_teacher = True
    teacher_splits: ClassVar = {"original": ("forget", "retain")}
    needs_validation = True

    def prepare(self) -> None:
        """Keep the base model as the teacher, and map its log-odds on forget rows to those on validation rows."""
        super().prepare()
        teacher, validation = self.teachers["original"], ForgetRetain({"retain": self.validation})
        with self.accelerator.autocast():
            unseen = [log_odds(frozen_logits(teacher, b), b["labels"]) for b in self.batches(validation)]
        forget = [
            log_odds(self.teacher_logits("original", b), b["labels"])
            for b in self.batches(self.train_dataset, self.forget_rows)
        ]
        values, others = (torch.cat(found).cpu().numpy() for found in (forget, unseen))
        self.wanted = torch.from_numpy(map_to_quantiles(values, others)).float()

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        logits, labels, forget = self.logits(model, batch), batch["labels"], batch["forget"]
        original = self.teacher_logits("original", batch)
        targets = original.float().softmax(dim=-1)
        wanted = self.wanted[batch["index"][forget].cpu()].to(labels.device)
        targets[forget] = with_log_odds(original[forget], labels[forget], wanted)
        return [Term("all", soft_cross_entropy(targets, logits, labels, less_entropy=True))]
