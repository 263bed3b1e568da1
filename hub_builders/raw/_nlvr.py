"""Readers shared by both versions of NLVR: JSON lines of statements, and image files named by their identifiers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mubench.hub_builders.raw._archive import read_members
from mubench.hub_builders.raw._jsonl import parse_json_lines
from mubench.hub_builders.tasks.rows import Row, label_index
from mubench.hub_builders.utils.text import quote

LABELS = ("False", "True")
_FIELDS: Mapping[str, Any] = {"identifier": "string", "sentence": "string", "label": "string"}


def read_files(
    paths: Iterable[Path], wanted: Mapping[str, str], image: re.Pattern[str], store: Callable[[bytes, str], Any]
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the bytes of the wanted JSON files and the stored images, both by file name.

    Args:
        paths: Archives or folders.
        wanted: Names of the JSON files.
        image: Pattern of the paths of images.
        store: Converts the bytes and path of an image to what is returned for it.

    Raises:
        ValueError: If a file occurs twice.
    """
    texts: dict[str, bytes] = {}
    images: dict[str, Any] = {}
    for path in paths:
        for name, data in read_members(path):
            base = PurePosixPath(name).name
            if base in texts or base in images:
                raise ValueError(f"expected every file once, got {base} again: {path}")
            if base in wanted:
                texts[base] = data
            elif image.search(name):
                images[base] = store(data, name)
    return texts, images


def parse_statements(data: bytes, identifier: re.Pattern[str], where: str) -> list[Row]:
    """Return identifier, sentence and label of every line.

    Raises:
        ValueError: If a line is no such object, its identifier is malformed or repeated, its sentence is empty, or
            its label is neither true nor false.
    """
    rows = parse_json_lines(data, _FIELDS, where)
    seen: set[str] = set()
    for row in rows:
        name = row["identifier"]
        if not identifier.fullmatch(name):
            raise ValueError(f"expected identifiers like {identifier.pattern}, got {quote(name)}: {where}")
        if name in seen:
            raise ValueError(f"expected every identifier once, got {quote(name)} again: {where}")
        if not row["sentence"].strip():
            raise ValueError(f"expected a sentence, got an empty one: {where} {name}")
        row["label"] = label_index(row["label"].capitalize(), LABELS, f"{where} {name}")
        seen.add(name)
    return rows


def find_image(images: Mapping[str, Any], name: str, identifier: str) -> Any:
    """Return a stored image.

    Raises:
        FileNotFoundError: If it is missing.
    """
    if name not in images:
        raise FileNotFoundError(f"expected the image {name} of {identifier}, got {len(images)} others")
    return images[name]
