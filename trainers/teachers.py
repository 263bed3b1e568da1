"""Teachers: frozen models in eval mode, kept outside the student's module tree."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch

from mubench.hub_builders.terms import model_inputs


def frozen_copy(model: torch.nn.Module) -> torch.nn.Module:
    """Return a copy that shares no tensor with the model, in eval mode and without gradients."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def random_copy(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Return a frozen model of the same config at a fresh initialisation; the global random state is left alone.

    Built from the config: resetting modules one by one would leave class tokens and position embeddings trained.

    Args:
        model: A model with a config.
        seed: Seed of the initialisation.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        fresh = type(model)(copy.deepcopy(model.config))
    weight = next(model.parameters())
    return fresh.to(device=weight.device, dtype=weight.dtype).eval().requires_grad_(False)


def teacher_logits(
    teacher: torch.nn.Module, batch: Mapping[str, Any], rows: torch.Tensor | None = None
) -> torch.Tensor:
    """Return a teacher's logits for a batch, or for some of its rows only.

    Args:
        teacher: A frozen model.
        batch: A collated batch of ``B`` rows.
        rows: Which rows to show it, bool, shape ``(B,)``; ``None`` shows all.

    Returns:
        Logits, shape ``(b, K)`` with ``b <= B``.
    """
    inputs = model_inputs(batch)
    if rows is not None and not rows.all():
        inputs = {key: value[rows] if torch.is_tensor(value) else value for key, value in inputs.items()}
    with torch.no_grad():
        logits: torch.Tensor = teacher(**inputs).logits
    return logits
