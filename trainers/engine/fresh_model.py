"""A randomly initialised model of another one's architecture."""

from __future__ import annotations

import copy

import torch
from transformers import PreTrainedModel

from mubench.trainers.engine.parameters import unwrap


def has_fresh(model: torch.nn.Module) -> bool:
    """Whether a model can be made anew: one of `transformers` from its config, others by a method ``fresh``."""
    return isinstance(model, PreTrainedModel) or callable(getattr(model, "fresh", None))


def random_copy(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Return a frozen model of the same config at a fresh initialisation; the global random state is left alone.

    Built from the config: resetting modules one by one would leave class tokens and position embeddings trained.

    Args:
        model: A model with a config, or with a method ``fresh`` that returns another of its architecture.
        seed: Seed of the initialisation.
    """
    model = unwrap(model)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        own = getattr(model, "fresh", None)
        fresh: torch.nn.Module = own() if callable(own) else type(model)(copy.deepcopy(model.config))
    weight = next(model.parameters())
    return fresh.to(device=weight.device, dtype=weight.dtype).eval().requires_grad_(False)
