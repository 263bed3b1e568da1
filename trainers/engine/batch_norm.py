"""BatchNorm, under which the rows of a batch see each other, so that a step cannot be cut as one likes."""

from __future__ import annotations

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from transformers import TrainingArguments


def has_batch_norm(model: torch.nn.Module) -> bool:
    """Whether a model has BatchNorm that takes its statistics from the batch when the model is trained."""
    mode = model.training
    model.train()
    found = any(isinstance(module, _BatchNorm) and module.training for module in model.modules())
    model.train(mode)
    return found


def synchronized(model: torch.nn.Module, args: TrainingArguments) -> torch.nn.Module:
    """Return a model whose BatchNorm sees the rows of all processes.

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
