"""NLVR, the first version, in place of NLVR2: ``{dev,test}/{dev,test}.json`` and six drawings per statement.

A drawing has three boxes side by side, in a different order in each of the six. The left box becomes the first image
of a pair, the other two the second. The development rows become the training rows.
"""

from __future__ import annotations

import re
from pathlib import Path

from mubench.hub_builders.raw._nlvr import find_image, parse_statements, read_files
from mubench.hub_builders.tasks.rows import Splits, store_media
from mubench.hub_builders.utils.images import encode_png, open_image
from mubench.hub_builders.utils.spool import Blob, Spool

NAMES = ("nlvr1.tar.xz", "nlvr")
SIZE = (400, 100)
# (left, upper, right, lower); the gap between the first two boxes is cut out.
CROPS = ((0, 0, 100, 100), (150, 0, 400, 100))
FILES = {"dev.json": "train", "test.json": "test"}
IMAGE = re.compile(r"(?:^|/)(?:dev|test)-\d+-\d+-[0-5]\.png$")
IDENTIFIER = re.compile(r"\d+-\d+")
Pair = tuple[dict[str, Blob | None], ...]


def read(path: Path) -> Splits:
    """Read an archive or folder.

    Raises:
        ValueError: If a file is not as expected.
        FileNotFoundError: If a file is missing.
    """
    spool = Spool()
    texts, images = read_files([path], FILES, IMAGE, lambda data, name: _crop_pair(data, name, spool))
    if missing := [name for name in FILES if name not in texts]:
        raise FileNotFoundError(f"expected {', '.join(FILES)} in {path}, got no {', '.join(missing)}")
    splits: Splits = {split: [] for split in FILES.values()}
    for file, split in FILES.items():
        part = file.removesuffix(".json")
        for row in parse_statements(texts[file], IDENTIFIER, file):
            for name in (f"{part}-{row['identifier']}-{order}" for order in range(6)):
                left, rest = find_image(images, f"{name}.png", row["identifier"])
                splits[split].append({
                    "example_id": name,
                    "source_index": None,
                    "group": name.rsplit("-", 2)[0],
                    "image_0": left,
                    "image_1": rest,
                    "text": row["sentence"],
                    "label": row["label"],
                })  # fmt: skip
    return splits


def _crop_pair(data: bytes, where: str, spool: Spool) -> Pair:
    drawing = open_image(data, SIZE, where).convert("RGB")
    return tuple(store_media(encode_png(drawing.crop(part)), spool) for part in CROPS)
