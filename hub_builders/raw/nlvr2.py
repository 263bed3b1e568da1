"""NLVR2: statements about two photographs, ``{train,dev,test1,test2}.json`` and ``<pair>-img{0,1}.png``.

The pair is the identifier without its last part. Pictures may lie in the folder or archive of the JSON files, or
beside it in the zip files they are handed out in. Where there is no NLVR2, its first version stands in.
"""

from __future__ import annotations

import re
from pathlib import Path

from mubench.hub_builders.raw import _nlvr1 as nlvr1
from mubench.hub_builders.raw._archive import find
from mubench.hub_builders.raw._blobs import Blob, Spool
from mubench.hub_builders.raw._nlvr import gathered, shown, statements
from mubench.hub_builders.raw._rows import Row, Splits, media, picture
from mubench.hub_builders.tasks import TASKS

TASK = TASKS["nlvr2"]
FILES = {"train.json": "train", "dev.json": "validation", "test1.json": "test", "test2.json": "ood"}
PICTURES = ("train_img.zip", "dev_img.zip", "test1_img.zip", "test2_img.zip")
PICTURE = re.compile(r"(?:^|/)\w+-\d+-\d+-img[01]\.png$")
IDENTIFIER = re.compile(r"(?:train|dev|test1|test2)-\d+-\d+-\d+")


def from_files(raw: Path) -> Splits:
    """Read the original files."""
    path = find(raw, TASK.source.files)
    if path.name in nlvr1.NAMES:
        return nlvr1.read(path)
    spool = Spool()
    beside = [raw / name for name in PICTURES if (raw / name).is_file()]
    texts, pictures = gathered(
        [path, *beside], FILES, PICTURE, lambda data, name: media(picture(data, None, name), spool)
    )
    if missing := [name for name in FILES if name not in texts]:
        raise FileNotFoundError(f"expected {', '.join(FILES)} in {path}, got no {', '.join(missing)}")
    return {split: _rows(texts[name], name, pictures) for name, split in FILES.items()}


def from_hub() -> Splits:
    """Refuse: copies on the Hub hold the statements alone.

    Raises:
        FileNotFoundError: Always.
    """
    raise FileNotFoundError(
        f"expected the pictures of {TASK.title}, got none on the Hub: give the folder of {TASK.source.files[0]} and "
        f"{', '.join(PICTURES)} as --raw DIR"
    )


def _rows(data: bytes, where: str, pictures: dict[str, dict[str, Blob | None]]) -> list[Row]:
    """Return the rows of a file; a row's position is its line, its group the set of eight pictures it is about."""
    rows = []
    for index, row in enumerate(statements(data, IDENTIFIER, where)):
        name: str = row["identifier"]
        pair = name.rsplit("-", 1)[0]
        rows.append(
            {
                "example_id": name,
                "source_index": index,
                "group": pair.rsplit("-", 1)[0],
                **{f"image_{side}": shown(pictures, f"{pair}-img{side}.png", name) for side in (0, 1)},
                "text": row["sentence"],
                "label": row["label"],
            }
        )
    return rows
