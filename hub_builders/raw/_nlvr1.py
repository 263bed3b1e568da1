"""NLVR, the first version, in place of NLVR2: ``{dev,test}/{dev,test}.json`` and six drawings a statement.

A drawing has three boxes side by side, in another order in each of the six. The left box is one picture, the other two
are the other. The development rows become the training rows.
"""

from __future__ import annotations

import re
from pathlib import Path

from mubench.hub_builders.raw._blobs import Blob, Spool
from mubench.hub_builders.raw._nlvr import gathered, shown, statements
from mubench.hub_builders.raw._rows import Splits, media, opened, png

NAMES = ("nlvr1.tar.xz", "nlvr")
SIZE = (400, 100)
# (left, upper, right, lower): what lies between the first two boxes belongs to neither.
PARTS = ((0, 0, 100, 100), (150, 0, 400, 100))
FILES = {"dev.json": "train", "test.json": "test"}
PICTURE = re.compile(r"(?:^|/)(?:dev|test)-\d+-\d+-[0-5]\.png$")
IDENTIFIER = re.compile(r"\d+-\d+")
Pair = tuple[dict[str, Blob | None], ...]


def read(path: Path) -> Splits:
    """Read an archive or folder.

    Raises:
        ValueError: If something in it is not as expected.
        FileNotFoundError: If something is missing.
    """
    spool = Spool()
    texts, pictures = gathered([path], FILES, PICTURE, lambda data, name: _cut(data, name, spool))
    if missing := [name for name in FILES if name not in texts]:
        raise FileNotFoundError(f"expected {', '.join(FILES)} in {path}, got no {', '.join(missing)}")
    splits: Splits = {split: [] for split in FILES.values()}
    for file, split in FILES.items():
        part = file.removesuffix(".json")
        for row in statements(texts[file], IDENTIFIER, file):
            for name in (f"{part}-{row['identifier']}-{order}" for order in range(6)):
                left, rest = shown(pictures, f"{name}.png", row["identifier"])
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


def _cut(data: bytes, where: str, spool: Spool) -> Pair:
    """Return the two parts of a drawing."""
    drawing = opened(data, SIZE, where).convert("RGB")
    return tuple(media(png(drawing.crop(part)), spool) for part in PARTS)
