"""Tiny ImageNet with captions: ``train/<id>/images``, ``val/images`` and ``val/val_annotations.txt``; or from the Hub.

The caption is "a photo of a" and the class's first word, the group is the class. Validation rows become the test
rows, since the original test pictures have no labels.
"""

from __future__ import annotations

import re
from pathlib import Path

from mubench.hub_builders.deletion.forget_lists import quoted
from mubench.hub_builders.raw._archive import find, members
from mubench.hub_builders.raw._blobs import Spool
from mubench.hub_builders.raw._hub import hub_rows
from mubench.hub_builders.raw._rows import Row, Splits, decoded, identified, label_index, media, picture
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.labels import TINY_IMAGENET

TASK = TASKS["tiny_imagenet"]
SIZE = (64, 64)
TRAIN = re.compile(r"(?:^|/)train/([^/]+)/images/[^/]+\.jpe?g$", re.IGNORECASE)
VALIDATION = re.compile(r"(?:^|/)val/images/([^/]+\.jpe?g)$", re.IGNORECASE)
TEXT = re.compile(r"(?:^|/)(val_annotations|words)\.txt$")

# The Hub's copy has other WordNet ids for 18 classes: ours -> its.
HUB_IDS = {
    "n01855672": "n07646821", "n01945685": "n13719102", "n02085620": "n08742578", "n02190166": "n03373237",
    "n02206856": "n07975909", "n02666196": "n02666347", "n02730930": "n08496334", "n02906734": "n12520864",
    "n02999410": "n13652994", "n03250847": "n07647870", "n03804744": "n13652335", "n03976657": "n08620881",
    "n04067472": "n07056680", "n04465501": "n04465666", "n04597913": "n04598010", "n07579787": "n07657664",
    "n07734744": "n13001041", "n07747607": "n14991210",
}  # fmt: skip


def from_files(raw: Path) -> Splits:
    """Read the original files."""
    path, spool = find(raw, TASK.source.files), Spool()
    train: list[Row] = []
    held: dict[str, bytes] = {}
    texts: dict[str, str] = {}
    for name, data in members(path):
        if match := TRAIN.search(name):
            train.append(_row(data, label_index(match[1], TASK.labels, name), None, name, spool))
        elif match := VALIDATION.search(name):
            if held.setdefault(match[1], data) is not data:
                raise ValueError(f"expected every picture once, got {match[1]} again: {path}")
        elif match := TEXT.search(name):
            texts[match[1]] = decoded(data, name)
    if "val_annotations" not in texts:
        raise FileNotFoundError(f"expected val/val_annotations.txt in {path}, got none")
    check_words(texts.get("words", ""), "words.txt")
    labels = annotated(texts["val_annotations"], "val_annotations.txt")
    if one := min(labels.keys() ^ held.keys(), default=None):
        raise ValueError(f"expected a picture and an annotation of each validation row, got one of {one}: {path}")
    test = [_row(data, labels[name], None, f"val/images/{name}", spool) for name, data in held.items()]
    return _identified({"train": train, "test": test})


def from_hub() -> Splits:
    """Read the Hub's rows."""
    spool, ours = Spool(), {HUB_IDS.get(name, name): index for index, name in enumerate(TASK.labels)}
    theirs = tuple(sorted(ours))
    splits: Splits = {"train": [], "test": []}
    for split, rows in zip(("train", "valid"), splits.values(), strict=True):
        for index, row in hub_rows(TASK.source, split, theirs):
            where = f"{TASK.source.hub_id} {split} {index}"
            rows.append(_row(row["image"]["bytes"], ours[theirs[row["label"]]], index, where, spool))
    return _identified(splits)


def annotated(text: str, where: str) -> dict[str, int]:
    """Return the label of every picture that a file of lines "picture, class, box" names.

    Raises:
        ValueError: If a line is something else, names no class of ours, or a picture comes twice.
    """
    labels: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.rstrip("\r").split("\t")
        if fields == [""]:
            continue
        if len(fields) != 6 or not fields[0]:
            raise ValueError(f"expected picture, class and box, got {quoted(line)}: {where} line {number}")
        if fields[0] in labels:
            raise ValueError(f"expected every picture once, got {quoted(fields[0])} again: {where} line {number}")
        if fields[1] not in TINY_IMAGENET:
            raise ValueError(f"expected a class of {TASK.title}, got {quoted(fields[1])}: {where} line {number}")
        labels[fields[0]] = TASK.labels.index(fields[1])
    return labels


def check_words(text: str, where: str) -> None:
    """Refuse lines "id, words" whose first word of one of our classes is another than ours.

    Raises:
        ValueError: If there is such a line.
    """
    for number, line in enumerate(text.split("\n"), 1):
        name, _, words = line.rstrip("\r").partition("\t")
        if name in TINY_IMAGENET and words.split(",")[0] != TINY_IMAGENET[name]:
            raise ValueError(
                f"expected {TINY_IMAGENET[name]} as first word of {name}, got {quoted(words)}: {where} line {number}"
            )


def _row(data: bytes, label: int, index: int | None, where: str, spool: Spool) -> Row:
    name = TASK.labels[label]
    return {
        "source_index": index,
        "group": name,
        "image": media(picture(data, SIZE, where), spool),
        "caption": f"a photo of a {TINY_IMAGENET[name]}",
        "label": label,
    }


def _identified(splits: Splits) -> Splits:
    return {split: identified(rows, split, TASK.columns, TASK.labels) for split, rows in splits.items()}
