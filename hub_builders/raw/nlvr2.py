"""NLVR2: statements about two photographs, ``{train,dev,test1,test2}.json`` and ``<pair>-img{0,1}.png``.

The pair is the identifier without its last part. The images are in the folder or archive of the JSON files, or beside
it in the zip files in which they are distributed. Without NLVR2, its first version is read.
"""

from __future__ import annotations

import re
from pathlib import Path

from mubench.hub_builders.raw import _nlvr1
from mubench.hub_builders.raw._archive import find_source
from mubench.hub_builders.raw._nlvr import find_image, parse_statements, read_files
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.rows import Row, Splits, store_media
from mubench.hub_builders.utils.images import rgb_bytes
from mubench.hub_builders.utils.spool import Blob, Spool

TASK = TASKS["nlvr2"]
FILES = {"train.json": "train", "dev.json": "validation", "test1.json": "test", "test2.json": "ood"}
IMAGE_ARCHIVES = ("train_img.zip", "dev_img.zip", "test1_img.zip", "test2_img.zip")
IMAGE = re.compile(r"(?:^|/)\w+-\d+-\d+-img[01]\.png$")
IDENTIFIER = re.compile(r"(?:train|dev|test1|test2)-\d+-\d+-\d+")


def from_files(raw: Path) -> Splits:
    """Read the original files."""
    path = find_source(raw, TASK.source.files)
    if path.name in _nlvr1.NAMES:
        return _nlvr1.read(path)
    spool = Spool()
    beside = [raw / name for name in IMAGE_ARCHIVES if (raw / name).is_file()]
    texts, images = read_files(
        [path, *beside], FILES, IMAGE, lambda data, name: store_media(rgb_bytes(data, None, name), spool)
    )
    if missing := [name for name in FILES if name not in texts]:
        raise FileNotFoundError(f"expected {', '.join(FILES)} in {path}, got no {', '.join(missing)}")
    return {split: _rows(texts[name], name, images) for name, split in FILES.items()}


def from_hub() -> Splits:
    """Refuse: copies on the Hub hold only the statements.

    Raises:
        FileNotFoundError: Always.
    """
    raise FileNotFoundError(
        f"expected the images of {TASK.title}, got none on the Hub: give the folder of {TASK.source.files[0]} and "
        f"{', '.join(IMAGE_ARCHIVES)} as --raw DIR"
    )


def _rows(data: bytes, where: str, images: dict[str, dict[str, Blob | None]]) -> list[Row]:
    """Return the rows of a file; the index is the line, the group the set of eight images behind the statement."""
    rows = []
    for index, row in enumerate(parse_statements(data, IDENTIFIER, where)):
        name: str = row["identifier"]
        pair = name.rsplit("-", 1)[0]
        rows.append(
            {
                "example_id": name,
                "source_index": index,
                "group": pair.rsplit("-", 1)[0],
                **{f"image_{side}": find_image(images, f"{pair}-img{side}.png", name) for side in (0, 1)},
                "text": row["sentence"],
                "label": row["label"],
            }
        )
    return rows
