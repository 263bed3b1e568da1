"""What a row is, and its identity: an id that follows from the content, whatever file it came from."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from PIL import Image, UnidentifiedImageError

from mubench.hub_builders.raw._blobs import Blob, Spool, read
from mubench.hub_builders.tasks.schema import Column
from mubench.hub_builders.utils.optional import require

Row = dict[str, Any]
Splits = dict[str, list[Row]]

LOSSLESS = ("PNG", "BMP", "PPM", "TIFF")
LOSSLESS_SOUND = ("WAV", "WAVEX", "FLAC")


def picture(data: bytes, size: tuple[int, int] | None, where: str) -> bytes:
    """Return a picture's bytes as stored: as they are if RGB, else converted to an RGB PNG; see `opened`."""
    image = opened(data, size, where)
    return data if image.mode == "RGB" else png(image.convert("RGB"))


def opened(data: bytes, size: tuple[int, int] | None, where: str) -> Image.Image:
    """Return a picture, decoded.

    Args:
        data: Bytes of the file.
        size: Width and height it must have; ``None`` takes any.
        where: What to call it in errors.

    Raises:
        ValueError: If it does not open or has another size.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"expected a picture, got {len(data)} bytes that do not open: {where}") from error
    if size is not None and image.size != size:
        raise ValueError(f"expected pictures of {size[0]}x{size[1]}, got {image.width}x{image.height}: {where}")
    return image


def png(image: Image.Image) -> bytes:
    """Encode a picture without loss."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def decoded(data: bytes, where: str, fallback: str | None = None) -> str:
    """Return a text file's text.

    Args:
        data: Its bytes.
        where: What to call it in messages.
        fallback: Single-byte encoding of bytes that are no UTF-8.

    Raises:
        ValueError: If it is not UTF-8 and there is no fallback.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if fallback is not None:
            return data.decode(fallback)
        raise ValueError(f"expected UTF-8 text, got other bytes: {where}") from error


def unmarked(data: bytes, where: str) -> str:
    """Return a UTF-8 text without its byte order mark.

    Raises:
        ValueError: If it is in another encoding.
    """
    return decoded(data, where).removeprefix("\ufeff")


def content(row: Row, columns: Mapping[str, Column]) -> bytes:
    """Return what identifies a row: what its media show and its texts say, without label and id."""
    return b"\0".join(_content(row[name], kind) for name, kind in columns.items() if kind != "label")


def media(data: bytes, spool: Spool) -> dict[str, Blob | None]:
    """Return a media file as rows hold it: its bytes in a spool, no path of this machine."""
    return {"bytes": spool.put(data), "path": None}


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
        label = labels[row["label"]] if "label" in columns else ""
        key = f"{split}\0{label}\0".encode() + content(row, columns)
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


def _content(value: Any, kind: Column) -> bytes:
    if kind == "image":
        return _picture_content(read(value["bytes"]))
    if kind == "audio":
        return _sound_content(read(value["bytes"]))
    if kind == "video":
        return read(value["bytes"])
    return json.dumps(value, ensure_ascii=False).encode() if kind == "strings" else str(value).encode()


def _picture_content(data: bytes) -> bytes:
    """Return the pixels of a lossless picture, the bytes of a lossy one: its decoders differ in the last bit."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB").tobytes() if image.format in LOSSLESS else data


def _sound_content(data: bytes) -> bytes:
    """Return rate and samples of a recording, whatever headers its file has; of a lossy one the bytes."""
    soundfile = require("soundfile")

    with soundfile.SoundFile(io.BytesIO(data)) as sound:
        if sound.format not in LOSSLESS_SOUND:
            return data
        return f"{sound.samplerate}\0{sound.channels}\0".encode() + sound.read(dtype="int16").tobytes()
