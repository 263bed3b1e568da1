"""LoTUS: smooths the labels of the forget set until its accuracy matches that on unseen data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from mubench.trainers.engine.losses import soft_cross_entropy
from mubench.trainers.inference.predict import eval_mode
from mubench.trainers.unlearning.forget_retain import ForgetRetain, sample_rows
from mubench.trainers.unlearning.kinds import CLASSIFICATION
from mubench.trainers.unlearning.teachers import frozen_logits
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import Share


@dataclass
class LotusArguments(UnlearningArguments):
    """Arguments of `LotusTrainer`; all defaults but ``alpha`` are those of the paper's code.

    The authors ran an ``alpha`` of 8 for a ResNet on CIFAR-10, 32 for whole classes, and 2 elsewhere; the
    default of their command line, 1, was run in no experiment.
    """

    alpha: float = field(default=2.0, metadata={"help": "How fast the temperature follows the accuracy (alpha)."})
    retain_share: Share = field(default=0.3, metadata={"help": "Share of the retain set to train on (the paper's)."})
    stop_below: float = field(
        default=-0.01,
        metadata={"help": "Training stops once accuracy on the forget set minus its target is at most this."},
    )


def gumbel_targets(logits: torch.Tensor, noise: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
    """Return ``softmax((z + g) / tau)``, which is a class sampled from ``softmax(z)`` where ``tau`` is 0.

    Args:
        logits: Logits of the base model, shape ``(B, K)``.
        noise: Gumbel noise ``g``, shape ``(B, K)``.
        tau: Temperature of every example, 0 or more, shape ``(B,)``.
    """
    scores = logits.float() + noise
    sampled = F.one_hot(scores.argmax(dim=-1), scores.shape[-1]).float()
    soft = (scores / tau.clamp(min=torch.finfo(torch.float32).tiny).unsqueeze(-1)).softmax(dim=-1)
    return torch.where(tau.unsqueeze(-1) > 0, soft, sampled)


class LotusTrainer(UnlearningTrainer):
    """Trains on labels sampled from the base model, smoothed ones on the forget set.

    ``L = -mean_all sum_k t_k log p_k``, where ``t`` is one class sampled from the base model's ``softmax(z_0)`` on a
    subset of the retain set, and ``softmax((z_0 + g) / tau)`` on the forget set, with new Gumbel noise ``g`` every
    epoch. ``tau = exp(alpha (acc(theta, forget) - acc(theta_0, validation)))`` at the start of every epoch; training
    ends after the epoch in which that difference falls to ``stop_below``. If whole classes are forgotten, which the
    retain set does not contain, the target accuracy is 0 and ``acc(theta, forget)`` stands alone.

    Args:
        eval_dataset: Validation set, on which the base model's accuracy is the target for the forget set.

    Requirements:
        Forget, retain and validation sets.

    Relations:
        `BadTeachingTrainer` smooths by a second teacher, without a target accuracy.
    """

    paper = Paper("LoTUS: Large-Scale Machine Unlearning with a Taste of Uncertainty", "CVPR 2025", "2503.18314",
                  "Spartalis et al.")  # fmt: skip
    kinds = CLASSIFICATION
    arguments = LotusArguments
    like = "random_label"
    args: LotusArguments
    uses_teacher = True
    teacher_splits: ClassVar = {"original": ("forget", "retain")}
    needs_validation = True

    def prepare(self) -> None:
        """Keep the base model as the teacher and measure the target accuracy."""
        super().prepare()
        self.target = self.target_accuracy()
        self.noise_table = (-1, torch.empty(0))

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: the forget set and the subset of the retain set."""
        subset = sample_rows(self.retain_rows, self.args.retain_share, self.generator("retain subset"))
        return [np.concatenate([self.forget_rows, subset])]

    def target_accuracy(self) -> float:
        """Return the accuracy of the base model on the validation set, or 0 if whole classes are forgotten."""
        forgotten, retained = (self.train_dataset.classes(rows) for rows in (self.forget_rows, self.retain_rows))
        if len(forgotten) and not len(np.intersect1d(forgotten, retained)):
            return 0.0
        return self.accuracy(self.teachers["original"], ForgetRetain({"retain": self.validation}))

    def accuracy(self, model: torch.nn.Module, dataset: Any, rows: np.ndarray | None = None) -> float:
        """Return the accuracy of a model in eval mode."""
        with eval_mode(model):
            hits = [
                (frozen_logits(model, batch).argmax(dim=-1) == batch["labels"]).float()
                for batch in self.batches(dataset, rows)
            ]
        return float(torch.cat(hits).mean())

    def gap(self) -> float:
        """Return the accuracy on the forget set minus its target, at the start of this epoch.

        The log keeps it for resumed runs.
        """
        epoch = int(self.state.epoch or 0)
        for entry in reversed(self.state.log_history):
            if entry.get("gap_epoch") == epoch:
                return entry["gap"]
        gap = self.accuracy(self.model, self.train_dataset, self.forget_rows) - self.target
        self.state.log_history.append({"gap_epoch": epoch, "gap": gap, "step": self.state.global_step})
        return gap

    def noise(self, rows: torch.Tensor, classes: int) -> torch.Tensor:
        """Return this epoch's Gumbel noise for some rows, shape ``(b, K)``: a pure function of seed and epoch."""
        epoch = int(self.state.epoch or 0)
        if self.noise_table[0] != epoch:
            table = self.generator(f"gumbel {epoch}").gumbel(size=(len(self.train_dataset), classes))
            self.noise_table = (epoch, torch.from_numpy(table.astype(np.float32)))
        return self.noise_table[1][rows.cpu()].to(rows.device)

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        tau = math.exp(self.args.alpha * self.gap()) * batch["forget"].float()
        logits = self.logits(model, batch)
        noise = self.noise(batch["index"], logits.shape[-1])
        target = gumbel_targets(self.teacher_logits("original", batch), noise, tau)
        return [Term("all", soft_cross_entropy(target, logits, batch["labels"]))]

    def after_epoch(self) -> bool:
        """Return whether the accuracy on the forget set has fallen to its target."""
        return (self.state.epoch or 0) < self.state.num_train_epochs and self.gap() <= self.args.stop_below
