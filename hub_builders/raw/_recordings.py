"""Checks of recordings and videos: each opens, is whole, and is what the data set promises."""

from __future__ import annotations

import io
import logging
from collections.abc import Collection
from pathlib import Path

from mubench.hub_builders.utils.optional import require

logger = logging.getLogger(__name__)


def sound(data: bytes, rate: int, where: str) -> bytes:
    """Return a recording's bytes, if it is whole, mono and sampled at a rate.

    Raises:
        ValueError: If it is not.
    """
    soundfile = require("soundfile")

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            found = (file.samplerate, file.channels)
            samples = len(file.read(dtype="int16"))
    except soundfile.SoundFileError as error:
        raise ValueError(f"expected a recording, got {len(data)} bytes that do not open: {where}") from error
    if found != (rate, 1):
        raise ValueError(f"expected one channel at {rate} Hz, got {found[1]} at {found[0]} Hz: {where}")
    if not samples or _cut(data):
        raise ValueError(f"expected a whole recording, got one that breaks off after {samples} samples: {where}")
    return data


def video(data: bytes, where: str) -> bytes:
    """Return a video's bytes, if it is whole and every frame decodes; memory holds one frame at a time.

    Raises:
        ValueError: If it is not.
    """
    av = require("av")

    count = 0
    try:
        with av.open(io.BytesIO(data), "r") as container:
            promised = container.streams.video[0].frames
            for _ in container.decode(video=0):
                count += 1
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(
            f"expected a video, got {len(data)} bytes that do not open or break off after {count} frames: {where}"
        ) from error
    # Some encoders announce one frame more than they write.
    if count < max(1, promised - 1) or _cut(data):
        raise ValueError(f"expected a whole video, got one that breaks off after {count} frames: {where}")
    return data


def _cut(data: bytes) -> bool:
    """Return whether a RIFF file (WAV, AVI) is shorter than it says; one written to a pipe does not know its size."""
    size = int.from_bytes(data[4:8], "little")
    return data[:4] == b"RIFF" and size not in (0, 0xFFFFFFFF) and size + 8 > len(data)


def tell_missing(names: Collection[str], path: Path) -> None:
    """Say how many clips that the official lists name are not there; a full build stops at its counts."""
    if names:
        logger.warning("%s: %d clips of the lists are not there, such as %s", path, len(names), min(names))
