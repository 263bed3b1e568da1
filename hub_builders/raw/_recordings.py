"""Checks of recordings and videos: each opens, is complete, and has the promised format."""

from __future__ import annotations

import io
import logging
from collections.abc import Collection
from pathlib import Path

from mubench.hub_builders.utils.optional import require

logger = logging.getLogger(__name__)


def check_recording(data: bytes, rate: int, where: str) -> bytes:
    """Return the bytes of a recording.

    Raises:
        ValueError: If it is not complete, mono and sampled at ``rate`` Hz.
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
    if not samples or _is_truncated(data):
        raise ValueError(f"expected a complete recording, got one truncated after {samples} samples: {where}")
    return data


def check_video(data: bytes, where: str) -> bytes:
    """Return the bytes of a video; memory holds one frame at a time.

    Raises:
        ValueError: If it is not complete, or a frame does not decode.
    """
    av, count = require("av"), 0
    try:
        with av.open(io.BytesIO(data), "r") as container:
            promised = container.streams.video[0].frames
            for _ in container.decode(video=0):
                count += 1
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(
            f"expected a video, got {len(data)} bytes that do not open or end after {count} frames: {where}"
        ) from error
    # Some encoders announce one frame more than they write.
    if count < max(1, promised - 1) or _is_truncated(data):
        raise ValueError(f"expected a complete video, got one truncated after {count} frames: {where}")
    return data


def _is_truncated(data: bytes) -> bool:
    """Return whether a RIFF file (WAV, AVI) is shorter than its header says; one written to a pipe states no size."""
    size = int.from_bytes(data[4:8], "little")
    return data[:4] == b"RIFF" and size not in (0, 0xFFFFFFFF) and size + 8 > len(data)


def warn_of_missing_clips(names: Collection[str], path: Path) -> None:
    """Log how many clips of the official lists are missing; a full build then fails at its counts."""
    if names:
        logger.warning("%s: %d clips of the lists are missing, such as %s", path, len(names), min(names))
