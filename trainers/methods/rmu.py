"""RMU: steer what a block says of forget rows into one random direction, and keep what it says of retain rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.batches import model_inputs, select_rows
from mubench.trainers.tools.blocks import block_list
from mubench.trainers.tools.truncated_forward import states_at, token_mask
from mubench.trainers.unlearning.pairing import pair_rows
from mubench.trainers.unlearning.teachers import frozen_forward
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
class RmuArguments(UnlearningArguments):
    """Arguments of `RmuTrainer`; the defaults are those of the paper's Zephyr-7B."""

    layer: int | None = field(
        default=None,
        metadata={"help": "Block that is steered (l), from 0, or from the last, -1; default: a quarter in."},
    )
    trained: int = field(default=3, metadata={"help": "Blocks that are trained: this one and those before it."})
    weights: str = field(
        default="", metadata={"help": "Regular expression of the matrices trained in them; default: all."}
    )
    c: float = field(default=6.5, metadata={"help": "Length of the direction that forget rows are steered to (c)."})
    alpha: float = field(default=1200.0, metadata={"help": "Weight of the retain term (alpha)."})

    def __post_init__(self) -> None:
        """Refuse what names no block or is no length or weight."""
        super().__post_init__()
        if self.trained < 1 or self.c <= 0 or self.alpha < 0:
            given = f"{self.trained}, {self.c} and {self.alpha}"
            raise ValueError(f"trained must be 1 or more, c positive and alpha 0 or more, got {given}")
        try:
            re.compile(self.weights)
        except re.error as error:
            raise ValueError(f"weights must be a regular expression, got {self.weights!r} ({error})") from error


def deviation(states: torch.Tensor, wanted: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the squared distance of states from others, over ``D``, as the mean over the masked tokens.

    Args:
        states: Shape ``(B, T, D)``.
        wanted: Shape ``(B, T, D)``, or ``(D,)`` for all.
        mask: Which tokens count, bool, shape ``(B, T)``.

    Returns:
        Deviations, fp32, shape ``(B,)``.
    """
    squares = (states.float() - wanted.float()).pow(2).mean(dim=-1)
    return torch.where(mask, squares, 0).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


class RmuTrainer(UnlearningTrainer):
    """Moves the states of forget rows at one block to a random vector, and holds those of retain rows.

    ``L = mean_forget |h - u|^2 / D + alpha mean_retain |h - h_0|^2 / D``, where ``h`` is the output of block ``l`` at
    a token, ``u = c r / |r|`` with ``r ~ uniform[0, 1)^D`` drawn once, and ``h_0`` is that of the base model. Tokens
    are those that predict an answer; of a classifier all that are no padding, of a picture all places.

    Passes end at block ``l``, and only matrices of the last few blocks up to there are trained.

    Args:
        model: The base model; its blocks are the last `torch.nn.ModuleList` that is in no other.
        args: `RmuArguments`; a batch size counts pairs.
        teacher: Takes the place of the frozen base model.

    Requirements:
        Forget and retain rows. BatchNorm stays in eval mode, as it is in the base model.

    Relations:
        `NpoTrainer` changes what a model says, this what it thinks on the way; for small models ``c`` has to be near
        the length that ``h`` has.
    """

    paper = Paper(
        "The WMDP Benchmark: Measuring and Reducing Malicious Use With Unlearning",
        "ICML 2024", "2403.03218", "Li et al.",
    )  # fmt: skip
    kinds = (*CLASSIFICATION, *TEXT_GENERATION, *TEXT_TO_IMAGE)
    adapted_kinds = (*CLASSIFICATION, "summarization", *TEXT_TO_IMAGE)
    arguments = RmuArguments
    args: RmuArguments
    per_weight = True
    uses_teacher = True

    def prepare(self) -> None:
        """Keep the base model, choose block and weights, and freeze all others."""
        self.teachers = {"original": self.frozen_original()}
        listed, blocks = block_list(self.model)
        layer = (len(blocks) - 1) // 4 if self.args.layer is None else self.args.layer
        if not -len(blocks) <= layer < len(blocks):
            raise ValueError(f"layer must be {-len(blocks)} to {len(blocks) - 1} for {listed}, got {layer}")
        layer %= len(blocks)
        self.block, self.depth = blocks[layer], (layer + 1) / len(blocks)
        inside = tuple(f"{name}." for name in blocks[max(0, layer + 1 - self.args.trained) : layer + 1])
        chosen = {
            name for name, weight in self.model.named_parameters()
            if name.startswith(inside) and weight.ndim > 1 and re.search(self.args.weights, name)
        }  # fmt: skip
        if not chosen:
            raise ValueError(f"weights must name matrices of {', '.join(inside)}, got {self.args.weights!r}")
        for name, weight in self.model.named_parameters():
            weight.requires_grad_(weight.requires_grad and name in chosen)

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: the forget rows, each with a retain row."""
        return [pair_rows(self.forget_rows, self.retain_rows, self.generator(f"pairs {epoch}"))]

    def direction(self, width: int) -> torch.Tensor:
        """Return the vector ``u`` that forget rows are steered to, shape ``(D,)``."""
        r = torch.from_numpy(self.generator("direction").random(width)).float()
        return (self.args.c * r / r.norm()).to(self.args.device)

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the distance of forget rows from the direction, and of retain rows from where they were."""
        inner = self.accelerator.unwrap_model(model)
        for module in inner.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()
        states = states_at(model, inner, self.block, model_inputs(batch), self.depth)
        mask, forget = token_mask(states, batch), batch["forget"]
        steered = deviation(states[forget], self.direction(states.shape[-1]), mask[forget])
        original = torch.zeros_like(states[~forget])
        if not forget.all():
            original[mask[~forget]] = self.original_states(select_rows(batch, ~forget)).to(original)
        return [
            Term("forget", steered),
            Term("retain", deviation(states[~forget], original, mask[~forget]), self.args.alpha),
        ]

    def original_states(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """Return what block ``l`` of the base model says at the masked tokens of a batch, shape ``(n, D)``."""
        teacher = self.teachers["original"]

        def compute(rest: Mapping[str, Any]) -> list[torch.Tensor]:
            with frozen_forward(teacher), self.accelerator.autocast():
                states = states_at(teacher, teacher, self.block, model_inputs(rest), self.depth)
            return [one[kept] for one, kept in zip(states, token_mask(states, rest), strict=True)]

        return torch.cat(self.teacher_cache.lookup_each(teacher, self.block, batch, compute)).to(self.args.device)
