"""CIFAR-10 and CIFAR-100: a folder per split and class, the binary version, or the Hub's rows.

The folders hold ``{train,test}/<class>/*.jpg`` or ``*.png``. A record of the binary version is one label byte
(CIFAR-100: two, the coarse and the fine class) and 3,072 bytes of red, green and blue; its batches are in the
original order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from mubench.hub_builders.raw._archive import find_source, read_members
from mubench.hub_builders.raw._hub import read_hub_rows
from mubench.hub_builders.tasks import TASKS, Task
from mubench.hub_builders.tasks.rows import Row, Splits, add_ids, label_index, store_media
from mubench.hub_builders.utils.images import encode_png, rgb_bytes
from mubench.hub_builders.utils.spool import Spool

SIZE = (32, 32)
PIXELS = 3 * SIZE[0] * SIZE[1]
IMAGE = re.compile(r"(?:^|/)(train|test)/([^/]+)/[^/]+\.(?:jpe?g|png)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cifar:
    """Reader of one of the two data sets.

    Attributes:
        task: The task.
        batches: Files of the binary version per split, in order.
        names: File of the binary version that names the classes.
        label_bytes: Label bytes at the start of a record; the last one is the class.
        column: Label column of the Hub's rows.
    """

    task: Task
    batches: Mapping[str, tuple[str, ...]]
    names: str
    label_bytes: int
    column: str

    def from_files(self, raw: Path) -> Splits:
        """Read the original files, as folders of images or in the binary version."""
        path, spool = find_source(raw, self.task.source.files), Spool()
        splits: Splits = {"train": [], "test": []}
        binary: dict[str, bytes] = {}
        for name, data in read_members(path):
            base = PurePosixPath(name).name
            if match := IMAGE.search(name):
                label = label_index(match[2], self.task.labels, name)
                splits[match[1].lower()].append(_row(rgb_bytes(data, SIZE, name), label, None, spool))
            elif base == self.names or any(base in batches for batches in self.batches.values()):
                binary[base] = data
        if binary and any(splits.values()):
            raise ValueError(f"expected images or the binary version of {self.task.key}, got both: {path}")
        if binary:
            splits = self._binary_rows(binary, path, spool)
        return add_ids(splits, self.task.columns, self.task.labels)

    def from_hub(self) -> Splits:
        """Read the Hub's rows."""
        source, spool = self.task.source, Spool()
        splits: Splits = {"train": [], "test": []}
        for split, rows in splits.items():
            for index, row in read_hub_rows(source, split, self.task.labels, label=self.column):
                data = rgb_bytes(row["img"]["bytes"], SIZE, f"{source.hub_id} {split} {index}")
                rows.append(_row(data, row[self.column], index, spool))
        return add_ids(splits, self.task.columns, self.task.labels)

    def _binary_rows(self, files: Mapping[str, bytes], path: Path, spool: Spool) -> Splits:
        wanted = [self.names, *(name for batches in self.batches.values() for name in batches)]
        if missing := [name for name in wanted if name not in files]:
            raise FileNotFoundError(f"expected {', '.join(wanted)} in {path}, got no {', '.join(missing)}")
        if (names := tuple(files[self.names].decode("utf-8", "replace").split())) != self.task.labels:
            raise ValueError(
                f"expected the classes {', '.join(self.task.labels)} in {self.names}, got {', '.join(names)}: {path}"
            )
        splits: Splits = {}
        for split, batches in self.batches.items():
            records = (record for name in batches for record in self._records(files[name], name))
            splits[split] = [_row(data, label, index, spool) for index, (data, label) in enumerate(records)]
        return splits

    def _records(self, data: bytes, name: str) -> Iterator[tuple[bytes, int]]:
        size, count = self.label_bytes + PIXELS, len(self.task.labels)
        if not data or len(data) % size:
            raise ValueError(f"expected complete records of {size} bytes, got {len(data)} bytes: {name}")
        for index, record in enumerate(np.frombuffer(data, dtype=np.uint8).reshape(-1, size)):
            label = int(record[self.label_bytes - 1])
            if label >= count:
                raise ValueError(f"expected a label from 0 to {count - 1}, got {label}: {name} record {index}")
            planes = record[self.label_bytes :].reshape(3, *SIZE)
            yield encode_png(Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))), label


def _row(data: bytes, label: int, index: int | None, spool: Spool) -> Row:
    return {"source_index": index, "image": store_media(data, spool), "label": label}


CIFAR10 = Cifar(
    task=TASKS["cifar10"],
    batches={"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)},
    names="batches.meta.txt",
    label_bytes=1,
    column="label",
)
