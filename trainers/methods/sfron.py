"""SFRon: alternates masked, weighted ascent on the forget set with descent on the retain set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.engine.parameters import trainable_weights
from mubench.trainers.tools.importance import mean_squares
from mubench.trainers.tools.masks import PackedMask
from mubench.trainers.unlearning.kinds import ALL_KINDS
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import Count, NonNegative, Positive

# The floor of losses in the weights: a perfectly learned example would outweigh all others.
MIN_LOSS = 1e-6


@dataclass
class SfronArguments(UnlearningArguments):
    """Arguments of `SfronTrainer`; plain descent by default, since Adam would undo the scale of the forget steps."""

    alpha: float = field(default=25.0, metadata={"help": "Scale of the forget loss at the start (alpha)."})
    gamma: NonNegative = field(
        default=1.0, metadata={"help": "Minimal ratio of a weight's forget to retain importance (gamma)."}
    )
    power: NonNegative = field(
        default=0.5, metadata={"help": "Power by which forget examples with a small loss weigh more (lambda)."}
    )
    period: Count = field(default=5, metadata={"help": "Number of retain steps after each forget step."})
    clip: Positive = field(default=7.0, metadata={"help": "Largest gradient norm of a forget step."})
    optim: str = field(default="sgd", metadata={"help": "The optimizer to use."})
    max_grad_norm: float = field(default=0.0, metadata={"help": "Largest gradient norm of any step; 0 is no limit."})


def row_weights(losses: torch.Tensor, power: float) -> torch.Tensor:
    """Return ``w_i`` proportional to ``loss_i^-power`` with mean 1, without a gradient.

    Args:
        losses: Losses of the examples, shape ``(B,)``; may be empty.
        power: 0 gives every example the same weight.
    """
    weights = losses.detach().clamp(min=MIN_LOSS) ** -power
    return weights / weights.mean() if len(weights) else weights


class SfronTrainer(UnlearningTrainer):
    """Descends on the retain set, with a masked step of ascent on the forget set at regular intervals.

    Forget step: ``L = -alpha_t mean_forget w_i CE_i`` with ``w_i`` proportional to ``CE_i^-lambda`` and of mean 1 over
    the micro-batch, ``alpha_t = alpha (1 + cos(pi t / T)) / 2``; its gradient is kept where ``F_forget >= gamma
    F_retain`` (diagonals of the empirical Fisher matrix, at the original weights) and clipped. Then ``period`` retain
    steps: ``L = mean_retain CE``.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Requirements:
        Forget and retain sets; memory for twice the weights, and half a GiB for gradients of single images, while
        the mask is computed. Examples of a micro-batch interact.

    Relations:
        `SsdTrainer` dampens by the same importances; ``alpha = 0`` is `FinetuneTrainer` with idle steps.
    """

    paper = Paper(
        "Unified Gradient-Based Machine Unlearning with Remain Geometry Enhancement",
        "NeurIPS 2024", "2409.19732", "Huang et al.",
    )  # fmt: skip
    kinds = ALL_KINDS
    arguments = SfronArguments
    args: SfronArguments
    per_weight = True
    coupled = True

    def prepare(self) -> None:
        """Mask the weights that are at least ``gamma`` times as important to the forget set."""
        forget, retain = (mean_squares(self, rows) for rows in (self.forget_rows, self.retain_rows))
        self.masks = [PackedMask(f >= self.args.gamma * r) for f, r in zip(forget, retain, strict=True)]
        self.forgetting = False

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return a step on the forget set before every ``period`` steps on the retain set."""
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        generator = self.generator(f"order {epoch}")
        retain, forget = (generator.permutation(rows) for rows in (self.retain_rows, self.forget_rows))
        parts = np.array_split(retain, math.ceil(len(retain) / (size * self.args.period)))
        steps = np.array_split(forget, math.ceil(len(forget) / size))
        return [rows for i, part in enumerate(parts) for rows in (steps[i % len(steps)], part)]

    def alpha(self) -> float:
        """Return the scale of the forget loss at this step."""
        return self.args.alpha * (1 + math.cos(math.pi * self.state.global_step / max(self.state.max_steps, 1))) / 2

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        losses, forget = per_example_loss(self.logits(model, batch), batch["labels"]), batch["forget"]
        self.forgetting = bool(forget.any())
        weighted = row_weights(losses[forget], self.args.power) * losses[forget]
        return [Term("forget", weighted, weight=-self.alpha()), Term("retain", losses[~forget])]

    def after_backward(self) -> None:
        """Mask and clip the gradients of a forget step."""
        if not self.forgetting:
            return
        weights = trainable_weights(self.model)
        for weight, mask in zip(weights, self.masks, strict=True):
            if weight.grad is not None:
                weight.grad.mul_(mask.unpack())
        torch.nn.utils.clip_grad_norm_(weights, self.args.clip)
