"""Weights rounded to few bits: what was unlearned by small changes of weights may come back (arXiv:2410.16454)."""

from __future__ import annotations

import torch
from torch.nn.utils import parametrize
from transformers.pytorch_utils import Conv1D

OUTPUT_FIRST = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.Embedding)


def round_weights(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """Return weights ``(out, ...)`` rounded to whole multiples of a scale, symmetric around 0.

    Each output channel has its own scale: its largest absolute weight is ``2 ** (bits - 1) - 1`` of them.
    """
    largest = weight.flatten(1).abs().amax(dim=1)
    scale = (largest / (2 ** (bits - 1) - 1)).reshape(-1, *[1] * (weight.dim() - 1))
    return torch.where(scale > 0, (weight / scale.clamp(min=torch.finfo(weight.dtype).tiny)).round() * scale, weight)


@torch.no_grad()
def quantize(model: torch.nn.Module, bits: int) -> None:
    """Round the weights of all linear, convolution and embedding layers in place; activations stay as they are."""
    rounded: set[int] = set()
    for module in model.modules():
        if not isinstance(module, (*OUTPUT_FIRST, Conv1D)):
            continue
        if parametrize.is_parametrized(module, "weight"):  # weight norm: the product of its parts is what is stored
            parametrize.remove_parametrizations(module, "weight")
        weight = module.weight
        if weight.data_ptr() in rounded:  # tied, such as embeddings and head
            continue
        rounded.add(weight.data_ptr())
        input_first = isinstance(module, Conv1D)
        values = round_weights(weight.T if input_first else weight, bits)
        weight.copy_(values.T if input_first else values)
