"""MSG: resets the weights with the smallest gradient difference, then fine-tunes on the retain set."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import PreTrainedModel

from mubench.trainers.engine.fresh_model import random_copy
from mubench.trainers.engine.parameters import trainable_weights
from mubench.trainers.tools.convolutions import is_convolutional, kernels
from mubench.trainers.tools.importance import gradient_sum, top_share
from mubench.trainers.tools.masks import PackedMask
from mubench.trainers.unlearning.kinds import CLASSIFICATION
from mubench.trainers.unlearning.unlearning_trainer import Paper, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import ShareOrZero


@dataclass
class MsgArguments(UnlearningArguments):
    """Arguments of `MsgTrainer`."""

    share: ShareOrZero = field(default=0.3, metadata={"help": "Share of each kernel's weights to reset (p)."})
    rest: ShareOrZero = field(default=0.1, metadata={"help": "Factor on the steps of the kernels' other weights."})


def fresh_copy(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Return a fresh initialisation of a model, from its config or, if it has none, layer by layer."""
    if isinstance(model, PreTrainedModel):
        return random_copy(model, seed)
    fresh = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for module in fresh.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
    return fresh


def matrices(model: torch.nn.Module) -> list[torch.Tensor]:
    """Return the kernels of a convolutional network, or the weights of the linear layers of any other model."""
    if is_convolutional(model):
        return kernels(model)
    return [module.weight for module in model.modules() if isinstance(module, torch.nn.Linear)]


class MsgTrainer(UnlearningTrainer):
    """Resets kernel weights with small gradients, then fine-tunes on the retain set, kernels slowly.

    ``|grad (mean_retain CE - mean_forget CE)|`` ranks the weights within each convolution; the smallest ``share`` of
    them is reset to initial values. Then ``L = mean_retain CE(z, y)``, where the steps of the other weights of
    convolutions are scaled by ``rest``: under plain descent this scales their gradients, as the authors do, which Adam
    would undo. Head, norms and biases take whole steps.

    Args:
        model: The base model. In a model that is not convolutional the weights of the linear layers, the head's among
            them, take the place of convolutions, which is our adaptation.

    Requirements:
        Forget and retain sets; convolutions or linear layers; memory for three times the weights, and one bit per
        weight of a kernel.

    Relations:
        ``share = 0, rest = 1`` is `FinetuneTrainer`. `SalunTrainer` ranks by the forget set alone and trains the
        weights with the largest gradients.
    """

    paper = Paper(
        "Deep Unlearn: Benchmarking Machine Unlearning for Image Classification", "2024", "2410.01276", "Cadet et al."
    )
    kinds = CLASSIFICATION
    arguments = MsgArguments
    like = "finetune"
    args: MsgArguments
    per_weight = True

    def prepare(self) -> None:
        """Rank the weights and reset those with the smallest gradients.

        Raises:
            ValueError: If the model has no such weights.
        """
        weights = trainable_weights(self.model)
        ranked = {id(weight) for weight in matrices(self.model)}
        chosen = [i for i, weight in enumerate(weights) if id(weight) in ranked]
        if not chosen:
            raise ValueError(f"expected trainable convolutions or linear layers, got a {type(self.model).__name__}")
        forget, retain = (gradient_sum(self, rows) for rows in (self.forget_rows, self.retain_rows))
        sizes = len(self.forget_rows), len(self.retain_rows)
        masks = []
        for i in chosen:
            smallness = -(retain[i] / sizes[1] - forget[i] / sizes[0]).abs()
            masks += top_share([smallness], self.args.share)
        fresh = fresh_copy(self.model, int(self.generator("fresh").integers(2**31)))
        pairs = zip(self.model.parameters(), fresh.parameters(), strict=True)
        initial = [new for weight, new in pairs if weight.requires_grad]
        self.kernels = [weights[i] for i in chosen]
        with torch.no_grad():
            for i, mask in zip(chosen, masks, strict=True):
                weights[i].copy_(torch.where(mask, initial[i], weights[i]))
        self.reset_masks = [PackedMask(mask) for mask in masks]

    def phases(self, epoch: int) -> list[np.ndarray]:
        return [self.retain_rows]

    def after_backward(self) -> None:
        """Store the kernels before the step."""
        self.before = [weight.detach().clone() for weight in self.kernels]

    def after_step(self) -> None:
        """Scale down the step of the kernels' weights that were not reset."""
        with torch.no_grad():
            for weight, before, mask in zip(self.kernels, self.before, self.reset_masks, strict=True):
                weight.copy_(torch.where(mask.unpack(), weight, before.lerp(weight, self.args.rest)))
