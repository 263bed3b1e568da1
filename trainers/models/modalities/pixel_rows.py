"""Rows of images that are decoded once: uint8 in memory, or in a file where they do not fit there.

Letters: ``N`` rows, ``C, H, W`` the shape of an image as the model gets it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import PIL
import torch

from mubench.hub_builders.dataset.decoding import stored_bytes
from mubench.hub_builders.utils.atomic import atomic_file
from mubench.trainers.engine.errors import explain_full_disk
from mubench.trainers.engine.rows import CPU, RowView, memory_share
from mubench.trainers.models.modalities.modality import BATCH, EncodedRows

FOLDER = "mubench-pixels"
# By how much a value may differ from that of the processor.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Normalization:
    """How an image processor makes values of levels from 0 to 255, to the bit: ``(level / divisor - mean) / std``."""

    divisor: float
    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def of(cls, processor: Any) -> Normalization:
        """Return the normalization of a processor, one mean and one standard deviation a channel."""
        mean, std = (processor.image_mean, processor.image_std) if processor.do_normalize else ([0.0], [1.0])
        divisor = 1 / processor.rescale_factor if processor.do_rescale else 1.0
        return cls(divisor, *(torch.tensor(values).view(-1, 1, 1) for values in (mean, std)))

    def __call__(self, levels: torch.Tensor) -> torch.Tensor:
        """Return float32 values, ``(n, ..., C, H, W)``, of uint8 levels of that shape."""
        mean, std = self.mean.to(levels.device), self.std.to(levels.device)
        return levels.float().div_(self.divisor).sub_(mean).div_(std)


class PixelRows(EncodedRows):
    """``pixel_values``, ``(C, H, W)`` float32 per row, and ``labels``; kept as levels, normalized by whole batches.

    Args:
        rows: Rows with columns ``image`` and ``label``.
        processor: An image processor; images of one split have one size behind it.
        change: Changes columns before they are processed.
        change_key: What distinguishes the change from others, part of the name of the file; empty for none.

    Raises:
        ValueError: If the processor does more to a level than to rescale and normalize it, or a change has no key.

    Attributes:
        levels: Those of all rows, ``(N, C, H, W)`` uint8, in memory or mapped from a file.
        labels: Their classes, ``(N,)`` int64.
    """

    def __init__(
        self,
        rows: datasets.Dataset,
        processor: Any,
        change: Callable[[dict[str, list[Any]]], dict[str, list[Any]]] | None = None,
        change_key: str = "",
    ) -> None:
        if (change is None) != (not change_key):
            raise ValueError(f"expected a key with a change of columns, and none without, got {change_key!r}")
        self.rows, self.normalize = rows, Normalization.of(processor)
        self.labels = torch.tensor(list(rows["label"]), dtype=torch.int64)
        self.devices: dict[torch.device, torch.Tensor] = {}

        def process(start: int, **options: bool) -> torch.Tensor:
            batch = rows[start : start + BATCH]
            images = [image.convert("RGB") for image in (change(batch) if change else batch)["image"]]
            pixels: torch.Tensor = processor(images, return_tensors="pt", **options)["pixel_values"]
            return pixels

        raw = {"do_rescale": False, "do_normalize": False}
        first, values = process(0, **raw), process(0)
        if first.dtype != torch.uint8 or not torch.allclose(self.normalize(first), values, rtol=0, atol=TOLERANCE):
            raise ValueError(
                f"expected a processor that rescales and normalizes levels, got another: {type(processor).__name__}"
            )
        shape = (len(rows), *first.shape[1:])

        def parts() -> Iterator[npt.NDArray[np.uint8]]:
            yield first.numpy()
            for start in range(BATCH, len(rows), BATCH):
                yield process(start, **raw).numpy()

        if math.prod(shape) <= memory_share():
            array = np.empty(shape, dtype=np.uint8)
            for number, part in enumerate(parts()):
                array[number * BATCH :][: len(part)] = part
        else:
            array = _map_file(_content_key(rows, processor, change_key), shape, parts())
        self.levels = torch.from_numpy(array)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.batch(np.array([index]), CPU)
        return {"pixel_values": row["pixel_values"][0], "labels": int(row["labels"])}

    def __getitems__(self, rows: Sequence[int]) -> RowView:
        return RowView(self, rows)

    def batch(self, rows: npt.NDArray[np.intp], device: torch.device) -> dict[str, torch.Tensor]:
        """Return some rows as one batch on a device; where there is room, the levels of all rows stay there."""
        levels, index = self._levels_on(device), torch.from_numpy(rows)
        chosen = levels.index_select(0, index.to(levels.device)).to(device)
        return {"pixel_values": self.normalize(chosen), "labels": self.labels.index_select(0, index).to(device)}

    def _levels_on(self, device: torch.device) -> torch.Tensor:
        if device.type != "cpu" and device not in self.devices:
            fits = self.levels.nbytes <= memory_share(device)
            self.devices[device] = self.levels.to(device) if fits else self.levels
        return self.devices.get(device, self.levels)


def _content_key(rows: datasets.Dataset, processor: Any, change_key: str) -> str:
    """Return a hash of all that levels depend on: stored images, the processor, the change, and Pillow."""
    digest = hashlib.sha256(f"{processor.to_json_string()} {change_key} {PIL.__version__}".encode())
    for value in rows.with_format(None).cast_column("image", datasets.Image(decode=False))["image"]:
        data = stored_bytes(value)
        digest.update(len(data).to_bytes(8) + data)
    return digest.hexdigest()


def _map_file(key: str, shape: tuple[int, ...], parts: Iterator[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Return the array of a file in the cache of `datasets`, which is made once of the parts of the array."""
    path = Path(datasets.config.HF_DATASETS_CACHE, FOLDER, f"{key}.npy")
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with explain_full_disk(path.parent), atomic_file(path) as stage, stage.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for part in parts:
                file.write(part.tobytes())
    return np.load(path, mmap_mode="c")  # torch warns of an array that cannot be written
