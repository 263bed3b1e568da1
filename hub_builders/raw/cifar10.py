"""CIFAR-10 as pictures: ``{train,test}/<class>/*.jpg`` or ``*.png`` in an archive or folder, or from the Hub."""

from __future__ import annotations

import re
from pathlib import Path

from mubench.hub_builders.raw.archive import find, members
from mubench.hub_builders.raw.blobs import Spool
from mubench.hub_builders.raw.hub import hub_rows
from mubench.hub_builders.raw.rows import Row, Splits, identified, label_index, media, picture
from mubench.hub_builders.tasks import TASKS

TASK = TASKS["cifar10"]
SIZE = (32, 32)
MEMBER = re.compile(r"(?:^|/)(train|test)/([^/]+)/[^/]+\.(?:jpe?g|png)$", re.IGNORECASE)


def from_files(raw: Path) -> Splits:
    """Read the original files."""
    splits: Splits = {"train": [], "test": []}
    spool = Spool()
    for name, data in members(find(raw, TASK.source.files)):
        if match := MEMBER.search(name):
            label = label_index(match[2], TASK.labels, name)
            splits[match[1]].append(_row(data, label, None, name, spool))
    return _identified(splits)


def from_hub() -> Splits:
    """Read the Hub's rows."""
    spool = Spool()
    return _identified({
        split: [
            _row(row["img"]["bytes"], row["label"], index, f"{TASK.source.hub_id} {split} {index}", spool)
            for index, row in hub_rows(TASK.source, split, TASK.labels)
        ]
        for split in ("train", "test")
    })  # fmt: skip


def _row(data: bytes, label: int, index: int | None, where: str, spool: Spool) -> Row:
    return {"source_index": index, "image": media(picture(data, SIZE, where), spool), "label": label}


def _identified(splits: Splits) -> Splits:
    return {split: identified(rows, split, TASK.columns, TASK.labels) for split, rows in splits.items()}
