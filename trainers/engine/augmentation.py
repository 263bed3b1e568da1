"""Augmentation of training batches: images are shifted and mirrored, recordings shifted in time and in level.

Every transform is a pure function of a batch and of uniform numbers in [0, 1), `NUMBERS_PER_ROW` for each of its rows.

Letters: ``B`` rows of a batch, ``C, H, W`` the shape of an image, ``F`` frames of a clip, ``M`` mel bands and ``T``
samples or frames of a recording.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

Transform = Callable[[Mapping[str, Any], torch.Tensor], dict[str, Any]]
NUMBERS_PER_ROW = 3
# An image is shifted by up to its side over this: 4 pixels of 32, as in He et al. (2016).
SHIFT_DIVISOR = 8
# A recording is shifted by up to this share of its length, and its level by up to so many decibels.
LAG = 0.1
DECIBELS = 3.0
# The log-mel features of Whisper are (log10 of a power + 4) / 4; those of AST grow as fast, within one in a hundred.
FEATURE_PER_DECIBEL = 1 / 40


def random_shifts(numbers: torch.Tensor, reach: torch.Tensor) -> torch.Tensor:
    """Return whole numbers from ``-reach`` to ``reach``, all of them equally likely, ``(n,)`` int64.

    Args:
        numbers: Uniform numbers in [0, 1), shape ``(n,)``.
        reach: Whole numbers, 0 or more, shape ``(n,)``.
    """
    return (numbers * (2 * reach + 1)).long().minimum(2 * reach) - reach  # a product may be rounded up to its limit


def _origins(by: torch.Tensor, sizes: torch.Tensor, length: int) -> torch.Tensor:
    """Return the position that each position of shifted lines takes its value from, ``(n, length)``.

    Beyond an edge that is the edge; positions behind a line's own size, which only pad it, keep their values.
    """
    places = torch.arange(length, device=by.device).expand(len(by), -1)
    within = (places - by[:, None]).clamp(min=0).minimum(sizes[:, None] - 1)
    return torch.where(places < sizes[:, None], within, places)


def shift_images(
    pixels: torch.Tensor, numbers: torch.Tensor, *, sizes: torch.Tensor | None = None, mirror: bool = False
) -> torch.Tensor:
    """Return images that are shifted by up to an eighth of their sides, their edges repeated, and maybe mirrored.

    Args:
        pixels: Images, shape ``(B, C, H, W)``.
        numbers: Uniform numbers, shape ``(B, NUMBERS_PER_ROW)``: whether to mirror, how far down, how far across.
        sizes: Height and width of each image without its padding, ``(B, 2)`` int64; ``None`` for images without.
        mirror: Whether half of them are mirrored, left to right; then none may be padded.
    """
    if sizes is None:
        sizes = torch.tensor(pixels.shape[-2:], device=pixels.device).expand(len(pixels), -1)
    down, across = (
        _origins(random_shifts(numbers[:, 1 + axis], size // SHIFT_DIVISOR), size, pixels.shape[2 + axis])
        for axis, size in enumerate(sizes.unbind(1))
    )
    if mirror:
        across = torch.where(numbers[:, :1] < 0.5, across.flip(1), across)
    origins = (down[:, :, None] * pixels.shape[-1] + across[:, None, :]).flatten(1)  # (B, H * W)
    return pixels.flatten(2).gather(2, origins[:, None].expand(-1, pixels.shape[1], -1)).view_as(pixels)


def augment_images(batch: Mapping[str, Any], numbers: torch.Tensor) -> dict[str, Any]:
    """Return a batch whose ``pixel_values``, ``(B, C, H, W)``, are shifted, and mirrored with probability 1/2."""
    return {**batch, "pixel_values": shift_images(batch["pixel_values"], numbers, mirror=True)}


def augment_video(batch: Mapping[str, Any], numbers: torch.Tensor) -> dict[str, Any]:
    """Return a batch whose ``pixel_values``, ``(B, F, C, H, W)``, are shifted, all frames of a clip alike.

    None is mirrored: the direction of a movement may be its class.
    """
    frames = batch["pixel_values"]
    return {**batch, "pixel_values": shift_images(frames.flatten(1, 2), numbers).view_as(frames)}


def augment_image_pairs(batch: Mapping[str, Any], numbers: torch.Tensor) -> dict[str, Any]:
    """Return a batch whose ``pixel_values``, ``(B, 2, C, H, W)``, are shifted within their masks, a pair alike.

    None is mirrored: a statement may say left or right.
    """
    pixels, masks = batch["pixel_values"], batch["pixel_mask"].flatten(0, 1).bool()
    sizes = torch.stack([masks.any(dim=2).sum(dim=1), masks.any(dim=1).sum(dim=1)], dim=1)
    both = shift_images(pixels.flatten(0, 1), numbers.repeat_interleave(pixels.shape[1], dim=0), sizes=sizes)
    return {**batch, "pixel_values": both.view_as(pixels)}


def _shift_in_time(sound: torch.Tensor, numbers: torch.Tensor, silence: torch.Tensor) -> torch.Tensor:
    """Return recordings, ``(B, M, T)``, shifted in time within their own length; silence fills the gap.

    Args:
        sound: Recordings; the silence after their end is no part of them.
        numbers: Uniform numbers, shape ``(B,)``.
        silence: The value of silence, shape ``(B, 1, 1)``.
    """
    places = torch.arange(sound.shape[-1], device=sound.device)
    length = ((sound != silence).any(dim=1) * (places + 1)).amax(dim=1)[:, None]
    origins = places - random_shifts(numbers, (LAG * length[:, 0]).long())[:, None]
    heard = (origins >= 0) & (origins < length) & (places < length)
    later = sound.gather(2, origins.clamp(0, len(places) - 1)[:, None].expand_as(sound))
    return torch.where(heard[:, None], later, silence)


def augment_audio(batch: Mapping[str, Any], numbers: torch.Tensor) -> dict[str, Any]:
    """Return a batch whose recordings are shifted by up to a tenth of their length and up to 3 dB louder or softer.

    They are ``input_values``, waves of shape ``(B, T)`` or log-mel of shape ``(B, T, M)``, or ``input_features``,
    log-mel of shape ``(B, M, T)``.
    """
    level = (2 * numbers[:, 1] - 1) * DECIBELS
    name = "input_values" if "input_values" in batch else "input_features"
    if batch[name].ndim == 2:
        waves = batch[name][:, None]
        later = _shift_in_time(waves, numbers[:, 0], waves.new_zeros(len(waves), 1, 1))[:, 0]
        return {**batch, name: later * (10 ** (level / 20))[:, None]}
    features = batch[name].mT if name == "input_values" else batch[name]
    later = _shift_in_time(features, numbers[:, 0], features.amin(dim=(1, 2), keepdim=True))
    later += FEATURE_PER_DECIBEL * level[:, None, None]
    return {**batch, name: later.mT if name == "input_values" else later}
