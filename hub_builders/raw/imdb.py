"""IMDB reviews, ``{train,test}/{pos,neg}/*.txt``, with Rotten Tomatoes sentences as the ood split; or the Hub's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from mubench.hub_builders.raw._archive import find_source, read_members
from mubench.hub_builders.raw._hub import read_hub_rows
from mubench.hub_builders.tasks import TASKS, Source
from mubench.hub_builders.tasks.rows import Row, Splits, add_ids, label_index
from mubench.hub_builders.utils.text import decode_text

TASK = TASKS["imdb"]
OOD = cast("Source", TASK.ood_source)
REVIEW = re.compile(r"(?:^|/)(train|test)/(pos|neg)/[^/]+\.txt$")
SENTENCES = re.compile(r"(?:^|/)rt-polarity\.(pos|neg)$")


def from_files(raw: Path) -> Splits:
    """Read the original files."""
    splits: Splits = {"train": [], "test": [], "ood": []}
    for name, data in read_members(find_source(raw, TASK.source.files)):
        if match := REVIEW.search(name):
            label = label_index(match[2], TASK.labels, name)
            splits[match[1]].append(_row(decode_text(data, name), label, None, name))
    splits["ood"] = list(_sentences(find_source(raw, OOD.files)))
    return add_ids(splits, TASK.columns, TASK.labels)


def from_hub() -> Splits:
    """Read the Hub's rows; its order of the ood sentences is not the original one."""
    splits: Splits = {
        split: [
            _row(row["text"], row["label"], index, f"{split} {index}")
            for index, row in read_hub_rows(TASK.source, split, TASK.labels)
        ]
        for split in ("train", "test")
    }
    parts = (read_hub_rows(OOD, split, TASK.labels) for split in ("train", "validation", "test"))
    splits["ood"] = [
        _row(row["text"].strip(), row["label"], None, f"{index}") for part in parts for index, row in part
    ]
    return add_ids(splits, TASK.columns, TASK.labels)


def _sentences(path: Path) -> Iterator[Row]:
    """Yield one row per line; the original archive is in Latin-1, later copies in UTF-8."""
    for name, data in read_members(path):
        if match := SENTENCES.search(name):
            label = label_index(match[1], TASK.labels, name)
            for line in decode_text(data, name, fallback="latin-1").strip().split("\n"):
                yield _row(line.strip(), label, None, name)


def _row(text: str, label: int, index: int | None, where: str) -> Row:
    if not text.strip():
        raise ValueError(f"expected a text, got an empty one: {where}")
    return {"source_index": index, "text": text, "label": label}
