"""A model's weights: which are trained, whether they are finite, and BatchNorm, which couples the rows of a batch."""

from __future__ import annotations

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from transformers import TrainingArguments

from mubench.trainers.engine.errors import NonFiniteError


def trainable_weights(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Return the weights that training would move; tied ones come once."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def check_finite(model: torch.nn.Module) -> None:
    """Raise `NonFiniteError` if a weight of the model is NaN or infinite."""
    bad = [name for name, weight in model.named_parameters() if not torch.isfinite(weight).all()]
    if bad:
        raise NonFiniteError(f"expected finite weights, got NaN or infinity in {len(bad)} tensors, first {bad[0]}")


def has_batch_norm(model: torch.nn.Module) -> bool:
    """Whether a model has BatchNorm that takes its statistics from the batch when the model is trained."""
    mode = model.training
    model.train()
    found = any(isinstance(module, _BatchNorm) and module.training for module in model.modules())
    model.train(mode)
    return found


def synchronize_batch_norm(model: torch.nn.Module, args: TrainingArguments) -> torch.nn.Module:
    """Return a model whose BatchNorm takes its statistics over the rows of all processes.

    Raises:
        ValueError: If there are several processes and no CUDA: `torch` synchronizes BatchNorm nowhere else.
    """
    if args.world_size == 1 or not has_batch_norm(model):
        return model
    if args.device.type != "cuda":
        raise ValueError(
            f"expected one process on {args.device.type}, where the BatchNorm of {type(model).__name__} cannot see "
            f"the rows of others; got {args.world_size}"
        )
    synced: torch.nn.Module = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return synced
