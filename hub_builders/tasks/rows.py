"""Rows of a task, and their ids: an id follows from a row's content, whatever file it came from."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from PIL import Image

from mubench.hub_builders.tasks.schema import Column
from mubench.hub_builders.utils.optional import require
from mubench.hub_builders.utils.spool import Blob, Spool, read_bytes

Row = dict[str, Any]
Splits = dict[str, list[Row]]

LOSSLESS_IMAGES = ("PNG", "BMP", "PPM", "TIFF")
LOSSLESS_AUDIO = ("WAV", "WAVEX", "FLAC")


def store_media(data: bytes, spool: Spool) -> dict[str, Blob | None]:
    """Append a media file to a spool and return its cell, without the path, which is specific to this machine."""
    return {"bytes": spool.append(data), "path": None}


def label_index(name: str, labels: tuple[str, ...], where: str) -> int:
    """Return the index of a class name.

    Raises:
        ValueError: If the task has no such class.
    """
    if name not in labels:
        raise ValueError(f"expected a class out of {', '.join(labels)}, got {name!r}: {where}")
    return labels.index(name)


def add_ids(
    splits: Mapping[str, Iterable[Row]], columns: Mapping[str, Column], labels: tuple[str, ...] = ()
) -> Splits:
    """Return rows with ``example_id`` and ``source_index`` as their first columns.

    The id is the hash of split, label and content, plus a counter among equal rows of a split: it does not depend on
    the order of different rows.

    Args:
        splits: Rows of each split of the original data, with the task's columns and perhaps a ``source_index``.
        columns: The columns that identify a row.
        labels: The task's class names.
    """
    return {split: _add_ids(rows, split, columns, labels) for split, rows in splits.items()}


def _add_ids(rows: Iterable[Row], split: str, columns: Mapping[str, Column], labels: tuple[str, ...]) -> list[Row]:
    seen: Counter[str] = Counter()
    result = []
    for row in rows:
        label = labels[row["label"]] if "label" in columns else ""
        key = f"{split}\0{label}\0".encode() + row_content(row, columns)
        name = hashlib.sha256(key).hexdigest()[:16]
        suffix = f"-{seen[name]}" if seen[name] else ""
        seen[name] += 1
        result.append({"example_id": name + suffix, "source_index": row.get("source_index"), **row})
    return result


def row_content(row: Row, columns: Mapping[str, Column]) -> bytes:
    """Return the content that identifies a row: its decoded media and its texts, without label and id."""
    return b"\0".join(_cell_content(row[name], kind) for name, kind in columns.items() if kind != "label")


def _cell_content(value: Any, kind: Column) -> bytes:
    if kind == "image":
        return _image_content(read_bytes(value["bytes"]))
    if kind == "audio":
        return _audio_content(read_bytes(value["bytes"]))
    if kind == "video":
        return read_bytes(value["bytes"])
    return json.dumps(value, ensure_ascii=False).encode() if kind == "strings" else str(value).encode()


def _image_content(data: bytes) -> bytes:
    """Return the pixels of a lossless image, the bytes of a lossy one, whose decoders differ in the last bit."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB").tobytes() if image.format in LOSSLESS_IMAGES else data


def _audio_content(data: bytes) -> bytes:
    """Return rate and samples of a lossless recording, whatever its header, and the bytes of a lossy one."""
    soundfile = require("soundfile")

    with soundfile.SoundFile(io.BytesIO(data)) as audio:
        if audio.format not in LOSSLESS_AUDIO:
            return data
        return f"{audio.samplerate}\0{audio.channels}\0".encode() + audio.read(dtype="int16").tobytes()
