"""Random changes of training batches: pictures are moved and mirrored, sounds come sooner or later, and louder or not.

Every change is a pure function of a batch and of uniform numbers in [0, 1), `CHANCES` of them for each of its rows.

Letters: ``B`` rows of a batch, ``C, H, W`` the shape of a picture, ``F`` frames of a clip, ``M, T`` bands and moments
of a sound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

Transform = Callable[[Mapping[str, Any], torch.Tensor], dict[str, Any]]
# Numbers that a row is given.
CHANCES = 3
# A picture moves by up to its side over this: 4 pixels of 32, as in He et al. (2016).
SHARE = 8
# A sound moves by up to this share of its length, and its level by up to so many decibels.
LAG = 0.1
DECIBELS = 3.0
# The log-mel features of Whisper are (log10 of a power + 4) / 4.
FEATURE_PER_DECIBEL = 1 / 40


def moves(chances: torch.Tensor, reach: torch.Tensor) -> torch.Tensor:
    """Return whole numbers from ``-reach`` to ``reach``, all of them equally likely, ``(n,)`` int64.

    Args:
        chances: Uniform numbers in [0, 1), shape ``(n,)``.
        reach: Whole numbers, 0 or more, shape ``(n,)``.
    """
    return (chances * (2 * reach + 1)).long().minimum(2 * reach) - reach  # a product may be rounded up to its limit


def _origins(by: torch.Tensor, sizes: torch.Tensor, length: int) -> torch.Tensor:
    """Return where each place of a moved line takes its value from, ``(n, length)``; beyond an edge that is the edge.

    Places behind a line's own size, which only pad it, keep theirs.
    """
    places = torch.arange(length, device=by.device).expand(len(by), -1)
    within = (places - by[:, None]).clamp(min=0).minimum(sizes[:, None] - 1)
    return torch.where(places < sizes[:, None], within, places)


def moved(
    pixels: torch.Tensor, chances: torch.Tensor, *, sizes: torch.Tensor | None = None, mirror: bool = False
) -> torch.Tensor:
    """Return pictures that are moved by up to an eighth of their sides, their edges repeated, and maybe mirrored.

    Args:
        pixels: Pictures, shape ``(B, C, H, W)``.
        chances: Uniform numbers, shape ``(B, CHANCES)``: whether to mirror, how far down, how far across.
        sizes: Height and width of each picture without its padding, ``(B, 2)`` int64; ``None`` for pictures without.
        mirror: Whether half of them are mirrored, left to right; then none may be padded.
    """
    if sizes is None:
        sizes = torch.tensor(pixels.shape[-2:], device=pixels.device).expand(len(pixels), -1)
    down, across = (
        _origins(moves(chances[:, 1 + side], sizes[:, side] // SHARE), sizes[:, side], pixels.shape[2 + side])
        for side in (0, 1)
    )
    if mirror:
        across = torch.where(chances[:, :1] < 0.5, across.flip(1), across)
    lines = pixels.gather(2, down[:, None, :, None].expand_as(pixels))
    return lines.gather(3, across[:, None, None, :].expand_as(pixels))


def pictures(batch: Mapping[str, Any], chances: torch.Tensor) -> dict[str, Any]:
    """Return a batch whose ``pixel_values``, ``(B, C, H, W)``, are moved, and mirrored with a chance of one half."""
    return {**batch, "pixel_values": moved(batch["pixel_values"], chances, mirror=True)}


def clips(batch: Mapping[str, Any], chances: torch.Tensor) -> dict[str, Any]:
    """Return a batch whose ``pixel_values``, ``(B, F, C, H, W)``, are moved, all frames of a clip alike.

    None is mirrored: which way something goes may be its class.
    """
    frames = batch["pixel_values"]
    return {**batch, "pixel_values": moved(frames.flatten(1, 2), chances).view_as(frames)}


def pairs(batch: Mapping[str, Any], chances: torch.Tensor) -> dict[str, Any]:
    """Return a batch whose ``pixel_values``, ``(B, 2, C, H, W)``, are moved, both of a pair alike, within their masks.

    None is mirrored: a statement may say left or right.
    """
    pixels, masks = batch["pixel_values"], batch["pixel_mask"].flatten(0, 1).bool()
    sizes = torch.stack([masks.any(dim=2).sum(dim=1), masks.any(dim=1).sum(dim=1)], dim=1)
    both = moved(pixels.flatten(0, 1), chances.repeat_interleave(pixels.shape[1], dim=0), sizes=sizes)
    return {**batch, "pixel_values": both.view_as(pixels)}


def _lagging(sound: torch.Tensor, chances: torch.Tensor, silence: torch.Tensor) -> torch.Tensor:
    """Return sounds, ``(B, M, T)``, that come sooner or later within what is heard of them; silence fills the gap.

    Args:
        sound: Sounds; the silence after their end is no part of them.
        chances: Uniform numbers, shape ``(B,)``.
        silence: What silence looks like, shape ``(B, 1, 1)``.
    """
    places = torch.arange(sound.shape[-1], device=sound.device)
    length = ((sound != silence).any(dim=1) * (places + 1)).amax(dim=1)[:, None]
    origins = places - moves(chances, (LAG * length[:, 0]).long())[:, None]
    heard = (origins >= 0) & (origins < length) & (places < length)
    later = sound.gather(2, origins.clamp(0, len(places) - 1)[:, None].expand_as(sound))
    return torch.where(heard[:, None], later, silence)


def sounds(batch: Mapping[str, Any], chances: torch.Tensor) -> dict[str, Any]:
    """Return a batch whose sounds come up to a tenth of their length sooner or later, and up to 3 dB louder or softer.

    They are ``input_values``, waves of shape ``(B, T)``, or ``input_features``, log-mel of shape ``(B, M, T)``.
    """
    level = (2 * chances[:, 1] - 1) * DECIBELS
    if "input_values" in batch:
        waves = batch["input_values"][:, None]
        later = _lagging(waves, chances[:, 0], waves.new_zeros(len(waves), 1, 1))[:, 0]
        return {**batch, "input_values": later * (10 ** (level / 20))[:, None]}
    features = batch["input_features"]
    later = _lagging(features, chances[:, 0], features.amin(dim=(1, 2), keepdim=True))
    return {**batch, "input_features": later + FEATURE_PER_DECIBEL * level[:, None, None]}
