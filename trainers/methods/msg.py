"""MSG: start the weights anew that tell both sides apart the least, then learn the retain rows again."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import PreTrainedModel

from mubench.trainers.engine.weights import trainable_weights
from mubench.trainers.tools.convolutions import is_convolutional, kernels
from mubench.trainers.tools.importance import gradient_sum, top_share
from mubench.trainers.tools.masks import PackedMask
from mubench.trainers.unlearning.teachers import random_copy
from mubench.trainers.unlearning.unlearning_trainer import (
    CLASSIFICATION,
    Paper,
    UnlearningArguments,
    UnlearningTrainer,
)


@dataclass
class MsgArguments(UnlearningArguments):
    """Arguments of `MsgTrainer`."""

    share: float = field(default=0.3, metadata={"help": "Share of the kernels' weights to start anew (p)."})
    rest: float = field(default=0.1, metadata={"help": "How far all other weights move, of what they would."})

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        super().__post_init__()
        for name in ("share", "rest"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")


def fresh_copy(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Return a model at a fresh initialisation: its config's, or that of each of its layers where it has no config."""
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
    """Return the kernels of a convolutional network, or the weights of the linear layers of any other."""
    if is_convolutional(model):
        return kernels(model)
    return [module.weight for module in model.modules() if isinstance(module, torch.nn.Linear)]


class MsgTrainer(UnlearningTrainer):
    """Starts the weights of the smallest gradients anew and trains on retain rows, other weights slowly.

    ``|grad (mean_retain CE - mean_forget CE)|`` ranks the weights of all convolutions together; the smallest ``share``
    of them go back to an initial value. Then ``L = mean_retain CE(z, y)``, where the other weights move ``rest`` times
    as far: under plain descent the gradients times ``rest``, which Adam would undo.

    Args:
        model: The base model. One that is not convolutional has the weights of its linear layers ranked: an adapter of
            ours.
        args: `MsgArguments`.

    Requirements:
        Forget and retain rows; convolutions or linear layers; memory for three times the weights, and a bit for each.

    Relations:
        ``share = 0, rest = 1`` is `FinetuneTrainer`. `SalunTrainer` ranks by the forget rows alone and moves the
        largest.
    """

    paper = Paper(
        "Deep Unlearn: Benchmarking Machine Unlearning for Image Classification", "2024", "2410.01276", "Cadet et al."
    )
    kinds = CLASSIFICATION
    arguments = MsgArguments
    args: MsgArguments
    per_weight = True

    def prepare(self) -> None:
        """Rank the weights, and start the smallest anew.

        Raises:
            ValueError: If the model has no such weights.
        """
        self.weights = trainable_weights(self.model)
        ranked = {id(weight) for weight in matrices(self.model)}
        chosen = [i for i, weight in enumerate(self.weights) if id(weight) in ranked]
        if not chosen:
            raise ValueError(f"msg needs trainable convolutions or linear layers, got {type(self.model).__name__}")
        forget, retain = (gradient_sum(self, rows) for rows in (self.forget_rows, self.retain_rows))
        sizes = len(self.forget_rows), len(self.retain_rows)
        smallness = [-(retain[i] / sizes[1] - forget[i] / sizes[0]).abs() for i in chosen]
        masks = [torch.zeros_like(weight, dtype=torch.bool) for weight in self.weights]
        for i, mask in zip(chosen, top_share(smallness, self.args.share), strict=True):
            masks[i] = mask
        fresh = fresh_copy(self.model, int(self.generator("fresh").integers(2**31)))
        pairs = zip(self.model.parameters(), fresh.parameters(), strict=True)
        news = [new for weight, new in pairs if weight.requires_grad]
        with torch.no_grad():
            for weight, new, mask in zip(self.weights, news, masks, strict=True):
                weight.copy_(torch.where(mask, new, weight))
        self.anew = [PackedMask(mask) for mask in masks]

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return the retain rows."""
        return [self.retain_rows]

    def after_backward(self) -> None:
        """Keep the weights as they are before the step."""
        self.before = [weight.detach().clone() for weight in self.weights]

    def after_step(self) -> None:
        """Take back most of the step of the weights that did not start anew."""
        with torch.no_grad():
            for weight, before, mask in zip(self.weights, self.before, self.anew, strict=True):
                weight.copy_(torch.where(mask.unpacked(), weight, before.lerp(weight, self.args.rest)))
