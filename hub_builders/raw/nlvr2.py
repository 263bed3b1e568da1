"""NLVR2: statements about two photographs, ``{train,dev,test1,test2}.json`` and ``<pair>-img{0,1}.png``.

The pair is the identifier without its last part. The images are in the folder or archive of the JSON files, or beside
it in the zip files in which they are distributed. Without NLVR2, its first version is read: ``{dev,test}.json`` and
six drawings per statement, which have three boxes side by side, in a different order in each of the six. The left box
becomes the first image of a pair, the other two the second, and the development rows become the training rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mubench.hub_builders.raw._archive import find_source, read_members
from mubench.hub_builders.raw._jsonl import parse_json_lines
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.rows import Row, Splits, label_index, store_media
from mubench.hub_builders.utils.images import encode_png, open_image, rgb_bytes
from mubench.hub_builders.utils.spool import Blob, Spool
from mubench.hub_builders.utils.text import quote

TASK = TASKS["nlvr2"]
LABELS = ("False", "True")
FIELDS: Mapping[str, Any] = {"identifier": "string", "sentence": "string", "label": "string"}
FILES = {"train.json": "train", "dev.json": "validation", "test1.json": "test", "test2.json": "ood"}
IMAGE_ARCHIVES = ("train_img.zip", "dev_img.zip", "test1_img.zip", "test2_img.zip")
IMAGE = re.compile(r"(?:^|/)\w+-\d+-\d+-img[01]\.png$")
IDENTIFIER = re.compile(r"(?:train|dev|test1|test2)-\d+-\d+-\d+")

# The first version.
FIRST_NAMES = ("nlvr1.tar.xz", "nlvr")
FIRST_FILES = {"dev.json": "train", "test.json": "test"}
DRAWING = re.compile(r"(?:^|/)(?:dev|test)-\d+-\d+-[0-5]\.png$")
FIRST_IDENTIFIER = re.compile(r"\d+-\d+")
SIZE = (400, 100)
# (left, upper, right, lower); the gap between the first two boxes is cut out.
CROPS = ((0, 0, 100, 100), (150, 0, 400, 100))
Cell = dict[str, Blob | None]


def from_files(raw: Path) -> Splits:
    """Read the original files."""
    path = find_source(raw, TASK.source.files)
    if path.name in FIRST_NAMES:
        return _read_first_version(path)
    spool = Spool()
    beside = [raw / name for name in IMAGE_ARCHIVES if (raw / name).is_file()]

    def store(data: bytes, name: str) -> Cell:
        return store_media(rgb_bytes(data, None, name), spool)

    texts, images = _read_files([path, *beside], FILES, IMAGE, store)
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


def _read_first_version(path: Path) -> Splits:
    spool = Spool()
    texts, images = _read_files([path], FIRST_FILES, DRAWING, lambda data, name: _crop_pair(data, name, spool))
    splits: Splits = {split: [] for split in FIRST_FILES.values()}
    for file, split in FIRST_FILES.items():
        part = file.removesuffix(".json")
        for row in _parse_statements(texts[file], FIRST_IDENTIFIER, file):
            for name in (f"{part}-{row['identifier']}-{order}" for order in range(6)):
                cells = _find_image(images, f"{name}.png", row["identifier"])
                splits[split].append(_row(row, name, None, name.rsplit("-", 2)[0], cells))
    return splits


def _rows(data: bytes, where: str, images: Mapping[str, Cell]) -> list[Row]:
    """Return the rows of a file; the index is the line, the group the set of eight images behind the statement."""
    rows = []
    for index, row in enumerate(_parse_statements(data, IDENTIFIER, where)):
        name: str = row["identifier"]
        pair = name.rsplit("-", 1)[0]
        cells = [_find_image(images, f"{pair}-img{side}.png", name) for side in (0, 1)]
        rows.append(_row(row, name, index, pair.rsplit("-", 1)[0], cells))
    return rows


def _row(statement: Row, name: str, index: int | None, group: str, cells: Iterable[Cell]) -> Row:
    images = {f"image_{side}": cell for side, cell in enumerate(cells)}
    own = {"example_id": name, "source_index": index, "group": group}
    return {**own, **images, "text": statement["sentence"], "label": statement["label"]}


def _crop_pair(data: bytes, where: str, spool: Spool) -> tuple[Cell, ...]:
    drawing = open_image(data, SIZE, where).convert("RGB")
    return tuple(store_media(encode_png(drawing.crop(part)), spool) for part in CROPS)


def _read_files(
    paths: Iterable[Path], wanted: Iterable[str], image: re.Pattern[str], store: Callable[[bytes, str], Any]
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the bytes of the wanted JSON files, and what ``store`` makes of each image, both by file name."""
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
    if missing := [name for name in wanted if name not in texts]:
        raise FileNotFoundError(f"expected {', '.join(wanted)} in {next(iter(paths))}, got no {', '.join(missing)}")
    return texts, images


def _parse_statements(data: bytes, identifier: re.Pattern[str], where: str) -> list[Row]:
    rows = parse_json_lines(data, FIELDS, where)
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


def _find_image(images: Mapping[str, Any], name: str, identifier: str) -> Any:
    if name not in images:
        raise FileNotFoundError(f"expected the image {name} of {identifier}, got {len(images)} others")
    return images[name]
