"""RMU: steers one block's activations on the forget set to a random direction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mubench.trainers.engine.batches import model_inputs, select_rows
from mubench.trainers.tools.blocks import MLP_OUTPUT, blocks_up_to, matrices_in
from mubench.trainers.tools.truncated_forward import hidden_states_at, token_mask
from mubench.trainers.unlearning.kinds import ALL_KINDS, CLASSIFICATION, TEXT_TO_IMAGE
from mubench.trainers.unlearning.teachers import frozen_forward, original_model
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import Count, NonNegative, Positive

# Values of ``weights`` that are no regular expressions.
NAMED = {"mlp_output": MLP_OUTPUT, "all": ""}


@dataclass
class RmuArguments(UnlearningArguments):
    """Arguments of `RmuTrainer`; the defaults are those of the paper's Zephyr-7B, but for the place of the block."""

    layer: int | None = field(
        default=None, metadata={"help": "Block to steer (l), from 0, or from the last, -1; default: a quarter in."}
    )
    trained: Count = field(default=3, metadata={"help": "Number of blocks to train: this one and those before it."})
    weights: str = field(
        default="mlp_output", metadata={"help": "Matrices to train: mlp_output (the paper's), all, or a pattern's."}
    )
    c: Positive = field(default=6.5, metadata={"help": "Length of the steering vector (c)."})
    alpha: NonNegative = field(default=1200.0, metadata={"help": "Weight of the retain term (alpha)."})

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            re.compile(self.weights)
        except re.error as error:
            raise ValueError(f"weights must be a regular expression, got {self.weights!r} ({error})") from error


def deviation(states: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the squared distance of states from a target, over ``D``, as the mean over the masked tokens.

    Args:
        states: Shape ``(B, T, D)``.
        target: Shape ``(B, T, D)``, or ``(D,)`` for all.
        mask: Tokens to include, bool, shape ``(B, T)``.

    Returns:
        Deviations, fp32, shape ``(B,)``.
    """
    squares = (states.float() - target.float()).pow(2).mean(dim=-1)
    return torch.where(mask, squares, 0).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def matrices_of(model: torch.nn.Module, args: RmuArguments) -> list[str]:
    """Return the names of the matrices to train: those of ``weights``, and all in blocks without the paper's."""
    blocks, _ = blocks_up_to(model, args.layer, args.trained)
    chosen = matrices_in(model, blocks, NAMED.get(args.weights, args.weights))
    if not chosen and args.weights != "mlp_output":
        raise ValueError(f"weights must name matrices of {'., '.join(blocks)}., got {args.weights!r}")
    return chosen or matrices_in(model, blocks)


class RmuTrainer(UnlearningTrainer):
    """Moves one block's states on the forget set to a random vector, and keeps those on the retain set.

    ``L = mean_forget |h - u|^2 / D + alpha mean_retain |h - h_0|^2 / D``, where ``h`` is the output of block ``l`` at
    a token, ``u = c r / |r|`` with ``r ~ uniform[0, 1)^D`` sampled once, and ``h_0`` is that of the base model.

    Tokens are those whose logits predict an answer token: the last one of the prompt and all of the answer but its
    last. open-unlearning takes the answer's own tokens, one position later, and the authors all tokens of a text. In
    classifiers all tokens except padding count, in images all positions.

    Forward passes end at block ``l``. Of the last few blocks up to it only the matrices are trained by which the MLP
    writes its output, as in the paper; in blocks without any, such as those of ResNet, all matrices are. ``weights``
    names others. Under LoRA adapters are trained beside these matrices, and ``h_0`` is computed without them.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Args:
        model: The base model; its blocks are the entries of the last `torch.nn.ModuleList` that is in no other.

    Requirements:
        Forget and retain sets. BatchNorm stays in eval mode, as in the base model.

    Relations:
        `NpoTrainer` changes outputs, this changes states; in small models ``c`` should be near the length of ``h``.
    """

    paper = Paper(
        "The WMDP Benchmark: Measuring and Reducing Malicious Use With Unlearning",
        "ICML 2024", "2403.03218", "Li et al.",
    )  # fmt: skip
    kinds = ALL_KINDS
    adapted_kinds = (*CLASSIFICATION, "summarization", *TEXT_TO_IMAGE)
    arguments = RmuArguments
    like = "neg_grad"
    args: RmuArguments
    paired = True
    uses_teacher = True

    def prepare(self) -> None:
        """Keep the base model as the teacher, and freeze all but the chosen matrices."""
        super().prepare()
        (*_, self.block), self.depth = blocks_up_to(original_model(self.model), self.args.layer, self.args.trained)
        chosen = [] if self.uses_lora else matrices_of(self.model, self.args)
        for name, weight in self.model.named_parameters():
            weight.requires_grad_(weight.requires_grad and (name in chosen or ".lora_" in name))

    def adapted_layers(self, model: torch.nn.Module, args: Any) -> list[str]:
        """Return the layers of the chosen matrices that can have an adapter."""
        chosen = matrices_of(model, args)
        if not (layers := [one for one in super().adapted_layers(model, args) if f"{one}.weight" in chosen]):
            raise ValueError(f"expected lora_targets among {', '.join(chosen)}, got none of them")
        return layers

    def direction(self, width: int) -> torch.Tensor:
        """Return the steering vector ``u``, shape ``(D,)``."""
        r = torch.from_numpy(self.generator("direction").random(width)).float()
        return (self.args.c * r / r.norm()).to(self.args.device)

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        inner = self.accelerator.unwrap_model(model)
        for module in inner.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()
        states = hidden_states_at(model, inner, self.block, model_inputs(batch), self.depth)
        mask, forget, retain = token_mask(states, batch), batch["forget"], ~batch["forget"]
        original = torch.zeros_like(states[retain])
        if retain.any():
            original[mask[retain]] = self.original_states(select_rows(batch, retain)).to(original)
        forget_term = Term("forget", deviation(states[forget], self.direction(states.shape[-1]), mask[forget]))
        return [forget_term, Term("retain", deviation(states[retain], original, mask[retain]), self.args.alpha)]

    def original_states(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """Return the base model's states at block ``l`` and the masked tokens of a batch, shape ``(n, D)``."""
        teacher = self.teachers["original"]

        def compute(rest: Mapping[str, Any]) -> list[torch.Tensor]:
            with frozen_forward(teacher), self.accelerator.autocast():
                states = hidden_states_at(teacher, teacher, self.block, model_inputs(rest), self.depth)
            return [state[mask] for state, mask in zip(states, token_mask(states, rest), strict=True)]

        return self.teacher_cache.lookup(teacher, self.block, batch, compute)
