"""Tiny ImageNet with captions: ``train/<id>/images``, ``val/images`` and ``val/val_annotations.txt``; or the Hub's.

The caption is "a photo of a" and the class's first word, the group is the class. Validation rows become the test
rows, since the original test images have no labels.
"""

from __future__ import annotations

import re
from pathlib import Path

from mubench.hub_builders.raw._archive import find_source, read_members
from mubench.hub_builders.raw._hub import read_hub_rows
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.rows import Row, Splits, add_ids, label_index, store_media
from mubench.hub_builders.utils.images import rgb_bytes
from mubench.hub_builders.utils.spool import Spool
from mubench.hub_builders.utils.text import decode_text, quote

TASK = TASKS["tiny_imagenet"]
TINY_IMAGENET = TASK.label_words
SIZE = (64, 64)
TRAIN = re.compile(r"(?:^|/)train/([^/]+)/images/[^/]+\.jpe?g$", re.IGNORECASE)
VALIDATION = re.compile(r"(?:^|/)val/images/([^/]+\.jpe?g)$", re.IGNORECASE)
TEXT_FILE = re.compile(r"(?:^|/)(val_annotations|words)\.txt$")

# WordNet ids of 18 classes that the Hub's copy changed: ours -> its.
HUB_IDS = {
    "n01855672": "n07646821", "n01945685": "n13719102", "n02085620": "n08742578", "n02190166": "n03373237",
    "n02206856": "n07975909", "n02666196": "n02666347", "n02730930": "n08496334", "n02906734": "n12520864",
    "n02999410": "n13652994", "n03250847": "n07647870", "n03804744": "n13652335", "n03976657": "n08620881",
    "n04067472": "n07056680", "n04465501": "n04465666", "n04597913": "n04598010", "n07579787": "n07657664",
    "n07734744": "n13001041", "n07747607": "n14991210",
}  # fmt: skip


def from_files(raw: Path) -> Splits:
    """Read the original files."""
    path, spool = find_source(raw, TASK.source.files), Spool()
    train: list[Row] = []
    held: dict[str, bytes] = {}
    texts: dict[str, str] = {}
    for name, data in read_members(path):
        if match := TRAIN.search(name):
            train.append(_row(data, label_index(match[1], TASK.labels, name), None, name, spool))
        elif match := VALIDATION.search(name):
            if held.setdefault(match[1], data) is not data:
                raise ValueError(f"expected every image once, got {match[1]} again: {path}")
        elif match := TEXT_FILE.search(name):
            texts[match[1]] = decode_text(data, name)
    if "val_annotations" not in texts:
        raise FileNotFoundError(f"expected val/val_annotations.txt in {path}, got none")
    _check_words(texts.get("words", ""), "words.txt")
    labels = _parse_annotations(texts["val_annotations"], "val_annotations.txt")
    if one := min(labels.keys() ^ held.keys(), default=None):
        raise ValueError(f"expected an image and an annotation of each validation row, got one of {one}: {path}")
    test = [_row(data, labels[name], None, f"val/images/{name}", spool) for name, data in held.items()]
    return add_ids({"train": train, "test": test}, TASK.columns, TASK.labels)


def from_hub() -> Splits:
    """Read the Hub's rows."""
    spool, ours = Spool(), {HUB_IDS.get(name, name): index for index, name in enumerate(TASK.labels)}
    theirs = tuple(sorted(ours))
    splits: Splits = {"train": [], "test": []}
    for split, rows in zip(("train", "valid"), splits.values(), strict=True):
        for index, row in read_hub_rows(TASK.source, split, theirs):
            where = f"{TASK.source.hub_id} {split} {index}"
            rows.append(_row(row["image"]["bytes"], ours[theirs[row["label"]]], index, where, spool))
    return add_ids(splits, TASK.columns, TASK.labels)


def _parse_annotations(text: str, where: str) -> dict[str, int]:
    """Return the label of every image of an annotation file, whose lines are "image, class, box"."""
    labels: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.rstrip("\r").split("\t")
        if fields == [""]:
            continue
        if len(fields) != 6 or not fields[0]:
            raise ValueError(f"expected image, class and box, got {quote(line)}: {where} line {number}")
        if fields[0] in labels:
            raise ValueError(f"expected every image once, got {quote(fields[0])} again: {where} line {number}")
        if fields[1] not in TINY_IMAGENET:
            raise ValueError(f"expected a class of {TASK.title}, got {quote(fields[1])}: {where} line {number}")
        labels[fields[0]] = TASK.labels.index(fields[1])
    return labels


def _check_words(text: str, where: str) -> None:
    """Check lines "id, words" against the first words of our classes."""
    for number, line in enumerate(text.split("\n"), 1):
        name, _, words = line.rstrip("\r").partition("\t")
        if name in TINY_IMAGENET and words.split(",")[0] != TINY_IMAGENET[name]:
            first = TINY_IMAGENET[name]
            raise ValueError(f"expected {first} as first word of {name}, got {quote(words)}: {where} line {number}")


def _row(data: bytes, label: int, index: int | None, where: str, spool: Spool) -> Row:
    name, image = TASK.labels[label], store_media(rgb_bytes(data, SIZE, where), spool)
    caption = f"a photo of a {TINY_IMAGENET[name]}"
    return {"source_index": index, "group": name, "image": image, "caption": caption, "label": label}
