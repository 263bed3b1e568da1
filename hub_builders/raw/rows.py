"""What a row is, and its identity: an id that follows from the content, whatever file it came from."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from PIL import Image, UnidentifiedImageError

from mubench.hub_builders.tasks import Column

Row = dict[str, Any]
Splits = dict[str, list[Row]]

LOSSLESS = ("PNG", "BMP", "PPM", "TIFF")


def picture(data: bytes, size: tuple[int, int], where: str) -> bytes:
    """Return a picture's bytes as stored: as they are if RGB, else converted to an RGB PNG.

    Raises:
        ValueError: If it does not open or has another size.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            if image.size != size:
                raise ValueError(
                    f"expected pictures of {size[0]}x{size[1]}, got {image.width}x{image.height}: {where}"
                )
            return data if image.mode == "RGB" else png(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"expected a picture, got {len(data)} bytes that do not open: {where}") from error


def png(image: Image.Image) -> bytes:
    """Encode a picture without loss."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def content(row: Row, columns: Mapping[str, Column]) -> bytes:
    """Return what identifies a row: the pixels or bytes of its pictures and its texts, without label and id."""
    parts = [_picture_content(row[name]["bytes"]) if kind == "image" else str(row[name]).encode()
             for name, kind in columns.items() if kind != "label"]  # fmt: skip
    return b"\0".join(parts)


def identified(rows: Iterable[Row], split: str, columns: Mapping[str, Column], labels: tuple[str, ...]) -> list[Row]:
    """Return rows with ``example_id`` and ``source_index`` first: equal rows get a counter, so order does not matter.

    Args:
        rows: Rows with the task's columns and perhaps a ``source_index``.
        split: Split of the original data.
        columns: The task's columns.
        labels: The task's class names.
    """
    seen: Counter[str] = Counter()
    named = []
    for row in rows:
        key = f"{split}\0{labels[row['label']]}\0".encode() + content(row, columns)
        name = hashlib.sha256(key).hexdigest()[:16]
        repeat = f"-{seen[name]}" if seen[name] else ""
        seen[name] += 1
        named.append({"example_id": name + repeat, "source_index": row.get("source_index"), **row})
    return named


def label_index(name: str, labels: tuple[str, ...], where: str) -> int:
    """Return the number of a class name.

    Raises:
        ValueError: If the task has no such class.
    """
    if name not in labels:
        raise ValueError(f"expected a class out of {', '.join(labels)}, got {name!r}: {where}")
    return labels.index(name)


def _picture_content(data: bytes) -> bytes:
    """Return the pixels of a lossless picture, the bytes of a lossy one: its decoders differ in the last bit."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB").tobytes() if image.format in LOSSLESS else data
