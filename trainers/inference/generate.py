"""Image generation by a text-to-image model: DDIM in a few steps, from noise that is the row's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mubench.trainers.engine.noise import KEY, START, generators, noises

# DDIM steps an image.
STEPS = 10


@torch.no_grad()
def generate_images(model: Any, batch: Mapping[str, Any], *, eval_seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return an image for every caption, ``(B, h, w, 3)``.

    Only the starting noise is random, and it depends on seed and row alone.

    Args:
        model: The model, in eval mode.
        batch: A batch with ``input_ids`` and ``row_key``; its images are not read.
        eval_seed: Seed of the starting noise.
    """
    device = next(model.parameters()).device
    schedule = type(model.schedule).from_config(model.schedule.config)  # generation changes a schedule
    schedule.set_timesteps(STEPS)
    captions = batch["input_ids"].to(device)
    sample = noises(generators(batch[KEY], START, 0, eval_seed), model.shape).to(device)
    for time in schedule.timesteps:
        predicted = model(sample=sample, timestep=time.expand(len(sample)).to(device), input_ids=captions).logits
        sample = schedule.step(predicted, time, sample).prev_sample
    pixels = (model.pixels(sample) + 1) * 127.5
    return pixels.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
