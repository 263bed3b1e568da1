"""The kernels of convolutional networks."""

from __future__ import annotations

import torch


def kernels(model: torch.nn.Module) -> list[torch.Tensor]:
    """Return the weights of all convolutions over pictures, with the two spatial axes last."""
    return [module.weight for module in model.modules() if isinstance(module, torch.nn.Conv2d)]


def is_convolutional(model: torch.nn.Module) -> bool:
    """Say whether a model convolves more than once with kernels wider than a pixel: cutting patches is not enough."""
    return sum(max(kernel.shape[-2:]) > 1 for kernel in kernels(model)) > 1
