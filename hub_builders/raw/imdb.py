"""IMDB reviews, ``{train,test}/{pos,neg}/*.txt``, with Rotten Tomatoes sentences as the ood split; or from the Hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mubench.hub_builders.raw._archive import find, members
from mubench.hub_builders.raw._hub import hub_rows
from mubench.hub_builders.raw._rows import Row, Splits, decoded, identified, label_index
from mubench.hub_builders.tasks import TASKS, Source

TASK = TASKS["imdb"]
REVIEW = re.compile(r"(?:^|/)(train|test)/(pos|neg)/[^/]+\.txt$")
SENTENCES = re.compile(r"(?:^|/)rt-polarity\.(pos|neg)$")


def from_files(raw: Path) -> Splits:
    """Read the original files."""
    splits: Splits = {"train": [], "test": [], "ood": []}
    for name, data in members(find(raw, TASK.source.files)):
        if match := REVIEW.search(name):
            label = label_index(match[2], TASK.labels, name)
            splits[match[1]].append(_row(decoded(data, name), label, None, name))
    splits["ood"] = list(_sentences(find(raw, _ood().files)))
    return _identified(splits)


def from_hub() -> Splits:
    """Read the Hub's rows; the order of the sentences over its three splits is not the original one."""
    splits: Splits = {
        split: [_row(row["text"], row["label"], index, f"{split} {index}") for index, row in _hub(TASK.source, split)]
        for split in ("train", "test")
    }
    parts = (_hub(_ood(), split) for split in ("train", "validation", "test"))
    splits["ood"] = [
        _row(row["text"].strip(), row["label"], None, f"{index}") for part in parts for index, row in part
    ]
    return _identified(splits)


def _sentences(path: Path) -> Iterator[Row]:
    """Yield one row a line; the original archive is in a single-byte encoding, later copies in UTF-8."""
    for name, data in members(path):
        if match := SENTENCES.search(name):
            label = label_index(match[1], TASK.labels, name)
            for line in decoded(data, name, fallback="latin-1").strip().split("\n"):
                yield _row(line.strip(), label, None, name)


def _row(text: str, label: int, index: int | None, where: str) -> Row:
    if not text.strip():
        raise ValueError(f"expected a text, got an empty one: {where}")
    return {"source_index": index, "text": text, "label": label}


def _hub(source: Source, split: str) -> Iterator[tuple[int, Row]]:
    return hub_rows(source, split, TASK.labels)


def _ood() -> Source:
    if TASK.ood_source is None:
        raise ValueError("expected a source of the ood split of imdb, got none")
    return TASK.ood_source


def _identified(splits: Splits) -> Splits:
    return {split: identified(rows, split, TASK.columns, TASK.labels) for split, rows in splits.items()}
