"""The kernels of convolutional networks."""

from __future__ import annotations

import torch


def kernels(model: torch.nn.Module) -> list[torch.Tensor]:
    """Return the weights of all 2-d convolutions, ``(out, in, height, width)`` each."""
    return [module.weight for module in model.modules() if isinstance(module, torch.nn.Conv2d)]


def is_convolutional(model: torch.nn.Module) -> bool:
    """Return whether a model has several convolutions wider than a pixel: a patch embedding alone is not enough."""
    return sum(max(kernel.shape[-2:]) > 1 for kernel in kernels(model)) > 1
