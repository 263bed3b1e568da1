"""CT: transposes every convolution kernel, then fine-tunes on the retain set."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mubench.trainers.tools.convolutions import is_convolutional, kernels
from mubench.trainers.unlearning.unlearning_trainer import Paper, UnlearningArguments, UnlearningTrainer


@dataclass
class CtArguments(UnlearningArguments):
    """Kernel transposition has no arguments of its own."""


def swap_axes(kernel: torch.Tensor) -> None:
    """Swap the two spatial axes of a kernel ``(out, in, H, W)`` in place.

    Raises:
        ValueError: If it is not square.
    """
    if kernel.shape[-1] != kernel.shape[-2]:
        raise ValueError(f"expected square convolution kernels, got one of {tuple(kernel.shape[-2:])}")
    with torch.no_grad():
        kernel.copy_(kernel.transpose(-1, -2).clone())


class CtTrainer(UnlearningTrainer):
    """Swaps the two spatial axes of all convolution kernels, then trains on the retain set.

    ``W_ohw <- W_owh`` once, then ``L = mean_retain CE(z, y)``

    Requirements:
        Retain set, and a convolutional network with square kernels; the forget set is not read.

    Relations:
        `FinetuneTrainer` is the same training from the original weights; `MsgTrainer` resets weights by their
        importance.
    """

    paper = Paper(
        "Deep Unlearn: Benchmarking Machine Unlearning for Image Classification", "2024", "2410.01276", "Cadet et al."
    )
    kinds = ("image_classification",)
    families = ("resnet", "convnext", "mobilenet")
    arguments = CtArguments
    like = "finetune"
    per_weight = True
    splits = ("retain",)

    def prepare(self) -> None:
        """Swap the axes of all kernels.

        Raises:
            ValueError: If the model is not a convolutional network.
        """
        if not is_convolutional(self.model):
            raise ValueError(f"expected a convolutional network, got {type(self.model).__name__}")
        for kernel in kernels(self.model):
            swap_axes(kernel)
