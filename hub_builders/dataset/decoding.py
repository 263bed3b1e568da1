"""Audio and video columns decoded to arrays on access, by soundfile and PyAV, which are extras."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Audio, Video
from datasets.features.features import register_feature

from mubench.hub_builders.utils.optional import require

Stored = dict[str, Any]


@dataclass
class Samples(Audio):  # type: ignore[misc]
    """A stored recording that reads as ``{"array": float32 (samples,), "sampling_rate": int}``."""

    _type: str = field(default="Samples", init=False, repr=False)

    def decode_example(self, value: Stored, token_per_repo_id: Any = None) -> dict[str, Any]:
        """Return samples, averaged over the channels, and sampling rate."""
        array, rate = require("soundfile").read(io.BytesIO(stored_bytes(value)), dtype="float32", always_2d=True)
        return {"array": array.mean(axis=1) if array.shape[1] > 1 else array[:, 0], "sampling_rate": rate}


@dataclass
class Frames(Video):  # type: ignore[misc]
    """A stored video that reads as uint8 (T, H, W, 3)."""

    _type: str = field(default="Frames", init=False, repr=False)

    def decode_example(self, value: Stored, token_per_repo_id: Any = None) -> npt.NDArray[np.uint8]:
        """Return all frames."""
        return np.stack(list(frames(stored_bytes(value))))


with warnings.catch_warnings(action="ignore"):  # `datasets` calls its registry experimental
    register_feature(Samples, "Samples")
    register_feature(Frames, "Frames")
DECODERS: dict[type, type] = {Audio: Samples, Video: Frames}


def frames(data: bytes) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the frames of a video one at a time, uint8 (H, W, 3) each."""
    with require("av").open(io.BytesIO(data), "r") as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def stored_bytes(value: Stored) -> bytes:
    """Return the bytes of a media cell, which are in the row or, if they were not embedded, in a file."""
    data = value["bytes"]
    return data if data is not None else Path(value["path"]).read_bytes()


def decode_media(dataset: Any) -> Any:
    """Return a dataset, dictionary of datasets or stream whose audio and video columns decode to arrays."""
    if isinstance(dataset, dict):
        return type(dataset)({split: decode_media(rows) for split, rows in dataset.items()})
    if dataset.features is None:
        raise ValueError("expected rows with known columns, got a stream after `map`: decode it before")
    for column, feature in dataset.features.items():
        if type(feature) in DECODERS:
            dataset = dataset.cast_column(column, DECODERS[type(feature)]())
    return dataset
