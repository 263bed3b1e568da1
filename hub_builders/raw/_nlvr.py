"""What the two versions of NLVR share: JSON lines of statements, and picture files called by their identifiers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mubench.hub_builders.deletion.forget_lists import quoted
from mubench.hub_builders.raw._archive import members
from mubench.hub_builders.raw._jsonl import json_lines
from mubench.hub_builders.raw._rows import Row, label_index

LABELS = ("False", "True")
_FIELDS: Mapping[str, Any] = {"identifier": "string", "sentence": "string", "label": "string"}


def gathered(
    paths: Iterable[Path], wanted: Mapping[str, str], picture: re.Pattern[str], store: Callable[[bytes, str], Any]
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the JSON files wanted and what was stored of every picture, both by file name.

    Args:
        paths: Archives or folders.
        wanted: Names of the JSON files.
        picture: What the path of a picture looks like.
        store: Takes bytes and path of a picture.

    Raises:
        ValueError: If a file comes twice.
    """
    texts: dict[str, bytes] = {}
    pictures: dict[str, Any] = {}
    for path in paths:
        for name, data in members(path):
            base = PurePosixPath(name).name
            if base in texts or base in pictures:
                raise ValueError(f"expected every file once, got {base} again: {path}")
            if base in wanted:
                texts[base] = data
            elif picture.search(name):
                pictures[base] = store(data, name)
    return texts, pictures


def statements(data: bytes, identifier: re.Pattern[str], where: str) -> list[Row]:
    """Return identifier, sentence and label of every line.

    Raises:
        ValueError: If a line is no such object, its identifier looks otherwise or comes twice, it says nothing, or its
            label is neither true nor false.
    """
    rows = json_lines(data, _FIELDS, where)
    seen: set[str] = set()
    for row in rows:
        name = row["identifier"]
        if not identifier.fullmatch(name):
            raise ValueError(f"expected identifiers like {identifier.pattern}, got {quoted(name)}: {where}")
        if name in seen:
            raise ValueError(f"expected every identifier once, got {quoted(name)} again: {where}")
        if not row["sentence"].strip():
            raise ValueError(f"expected a sentence, got an empty one: {where} {name}")
        row["label"] = label_index(row["label"].capitalize(), LABELS, f"{where} {name}")
        seen.add(name)
    return rows


def shown(pictures: Mapping[str, Any], name: str, identifier: str) -> Any:
    """Return what was stored of a picture.

    Raises:
        FileNotFoundError: If it is not there.
    """
    if name not in pictures:
        raise FileNotFoundError(f"expected the picture {name} of {identifier}, got {len(pictures)} others")
    return pictures[name]
