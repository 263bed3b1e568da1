"""Time steps and noise of diffusion training, as a pure function of a seed, an optimizer step and the row.

Letters: ``B`` rows of a batch, ``C, H, W`` the shape of an image as the model gets it, ``T`` steps of the noise
schedule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

# The column of the number that identifies a row; no model sees it.
KEY = "row_key"
# Purposes of random numbers, so that no two purposes share any.
TRAINING, GRID, START, TEXT = range(4)


def row_key(example_id: str) -> int:
    """Return a number of 63 bits that identifies a row, whatever its position."""
    return int.from_bytes(hashlib.sha256(example_id.encode()).digest()[:8], "big") >> 1


def generators(keys: torch.Tensor, purpose: int, number: int, seed: int = 0) -> list[np.random.Generator]:
    """Return a generator for every row, ``(B,)`` keys: the same for a row whatever the other rows are."""
    return [np.random.default_rng((purpose, seed, number, key)) for key in keys.tolist()]


def noises(sources: Sequence[np.random.Generator], shape: tuple[int, ...]) -> torch.Tensor:
    """Return standard normal noise, ``(B, C, H, W)`` fp32, a row from each generator."""
    return torch.from_numpy(np.stack([source.standard_normal(shape, dtype=np.float32) for source in sources]))


def add_noise(model: Any, batch: Mapping[str, Any], times: torch.Tensor, noise: torch.Tensor) -> dict[str, Any]:
    """Return a batch whose images have noise added, with the model's target as labels.

    Args:
        model: A model with ``latents`` and a ``schedule``; see `mubench.trainers.models.modalities.diffusion`.
        batch: A batch with ``pixel_values``.
        times: Time steps, ``(B,)`` int64 in ``0 .. T-1``; later is noisier.
        noise: Noise, ``(B, C, H, W)``.
    """
    latents = model.latents(batch["pixel_values"])
    times, noise = times.to(latents.device), noise.to(latents)
    schedule = model.schedule
    velocity = schedule.config.prediction_type == "v_prediction"
    rest = {name: value for name, value in batch.items() if name not in ("pixel_values", KEY)}
    return {
        **rest,
        "sample": schedule.add_noise(latents, noise, times),
        "timestep": times,
        "labels": schedule.get_velocity(latents, noise, times) if velocity else noise,
    }


def add_training_noise(model: Any, batch: Mapping[str, Any], *, seed: int, step: int) -> dict[str, Any]:
    """Return a batch with one fresh draw per row: a time, uniform over the schedule, and noise.

    A student and its teacher get the same batch, and so the same draw.

    Args:
        model: The model, as in `add_noise`.
        batch: A batch with ``pixel_values`` and `KEY`.
        seed: Seed of the run.
        step: Optimizer steps done so far.
    """
    sources = generators(batch[KEY], TRAINING, step, seed)
    steps = model.schedule.config.num_train_timesteps
    times = torch.tensor([int(source.integers(steps)) for source in sources])
    return add_noise(model, batch, times, noises(sources, model.shape))


def add_grid_noise(model: Any, batch: Mapping[str, Any], draw: int, draws: int) -> dict[str, Any]:
    """Return a batch with noise added by one of the fixed draws: the same for every model and seed.

    Draw ``d`` in ``0 .. draws-1`` is at time ``(d + 1/2) T / draws``; the batch has ``pixel_values`` and `KEY`.
    """
    keys = batch[KEY]
    steps = model.schedule.config.num_train_timesteps
    times = torch.full((len(keys),), int((draw + 0.5) * steps / draws))
    return add_noise(model, batch, times, noises(generators(keys, GRID, draw), model.shape))
