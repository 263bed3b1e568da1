"""The parquet shards of one task: one copy of the rows, cut so that every ratio is a list of whole files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Audio, ClassLabel, Features, Image, List, Value, Video
from tqdm.auto import tqdm

from mubench.hub_builders.deletion.ranks import rounded
from mubench.hub_builders.raw._blobs import Blob, read
from mubench.hub_builders.raw._rows import Row, Splits, content
from mubench.hub_builders.tasks import Task, Tier
from mubench.hub_builders.tasks.names import RATIOS

# A stream reads a shard ahead: 256 MiB of them took 771 MiB in all, 32 MiB 475, of which 400 are the libraries.
LARGEST_SHARD_BYTES = 32 * 2**20
# A reader holds one row group at a time, a few of them where batches are read ahead.
LARGEST_GROUP_BYTES = 8 * 2**20
LARGEST_GROUP_ROWS = 1_000


def features(task: Task, tier: Tier) -> Features:
    """Return the columns every split of a task has."""
    kinds = {
        "image": Image(),
        "audio": Audio(),
        "video": Video(),
        "string": Value("string"),
        "strings": List(Value("string")),
        "label": ClassLabel(names=list(task.label_names(tier))),
    }
    own = {name: kinds[kind] for name, kind in task.columns.items()}
    group = {"group": Value("string")} if task.group else {}
    fixed = {"example_id": Value("string"), "source_index": Value("int64"), "deletion_rank": Value("int32")}
    return Features({**fixed, **group, **own})


def plan(splits: Splits, forget: Mapping[int, int]) -> Iterator[tuple[str, str, list[Row]]]:
    """Yield (split, file name, rows) of every shard, none of them empty.

    Args:
        splits: Rows; ``train`` in deletion order.
        forget: Rows deleted, per ratio; what a ratio adds to the one before has shards of its own.
    """
    train, done = splits["train"], 0
    for ratio, size in sorted(forget.items()):
        for number, part in enumerate(_parts(train[done:size], LARGEST_SHARD_BYTES)):
            yield "train", f"train-d{ratio:02d}{f'-{number:05d}' if number else ''}.parquet", part
        done = size
    rest = {"train-rest": train[done:], **{name: rows for name, rows in splits.items() if name != "train"}}
    for name, rows in rest.items():
        for number, part in enumerate(_parts(rows, LARGEST_SHARD_BYTES)):
            yield name.removesuffix("-rest"), f"{name}-{number:05d}.parquet", part


def write(
    folder: Path, task: Task, tier: Tier, splits: Splits, *, forget: Mapping[int, int], marks: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Write all shards of a task and return their names per split.

    Args:
        folder: An empty folder.
        task: The task.
        tier: The tier, which decides the class names.
        splits: Rows with their ``deletion_rank``, ``train`` in deletion order.
        forget: Rows deleted, per ratio.
        marks: Tier, family and seed, kept in the shards so that builds that differ in them never share a fingerprint.
    """
    schema = features(task, tier).arrow_schema
    schema = schema.with_metadata({**schema.metadata, b"mubench": json.dumps(marks, sort_keys=True).encode()})
    shards: dict[str, list[str]] = {}
    with tqdm(total=sum(map(len, splits.values())), desc=f"{task.key}: writing", unit="row", disable=None) as bar:
        for split, name, rows in plan(splits, forget):
            _write_shard(folder / name, rows, schema, bar)
            shards.setdefault(split, []).append(name)
    return shards


def files_fingerprint(folder: Path, shards: Mapping[str, list[str]]) -> str:
    """Return the sha256 over the names and sha256 sums of all shards."""
    total = hashlib.sha256()
    for name in sorted(name for names in shards.values() for name in names):
        with (folder / name).open("rb") as file:
            total.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def split_fingerprint(task: Task, tier: Tier, splits: Splits, forget: Mapping[int, int]) -> str:
    """Return the sha256 over sorted ids, ranks and contents: equal for equal rows and deletions, however stored.

    Forget sizes other than the canonical ones are part of it, because they do not follow from the rows.
    """
    labels = task.label_names(tier)
    total = hashlib.sha256()
    if dict(forget) != {ratio: rounded(len(splits["train"]), ratio) for ratio in RATIOS}:
        total.update(json.dumps(sorted(forget.items())).encode())
    for split in sorted(splits):
        for row in sorted(splits[split], key=lambda row: str(row["example_id"])):
            label = labels[row["label"]] if "label" in task.columns else ""
            head = f"{split}\0{row['example_id']}\0{row['deletion_rank']}\0{row.get('group', '')}\0{label}\0"
            total.update(hashlib.sha256(head.encode() + content(row, task.columns)).digest())
    return total.hexdigest()


def _write_shard(path: Path, rows: list[Row], schema: pa.Schema, bar: tqdm[Any]) -> None:
    """Write one shard a row group at a time; already compressed media gain nothing from a dictionary.

    The Arrow schema is not stored a second time: its types follow from Parquet's, and the Hub's features are in the
    metadata. In small shards it would be a tenth of the bytes.
    """
    settings = {"compression": "zstd", "use_dictionary": ["label"], "write_statistics": False, "store_schema": False}
    with pq.ParquetWriter(path, schema, **settings) as writer:
        writer.add_key_value_metadata(schema.metadata)
        for batch in _parts(rows, LARGEST_GROUP_BYTES, LARGEST_GROUP_ROWS):
            writer.write_table(pa.Table.from_pylist([_with_bytes(row) for row in batch], schema=schema))
            bar.update(len(batch))


def _with_bytes(row: Row) -> Row:
    """Return a row with the bytes of its media in place of where they lie."""
    return {
        name: {**value, "bytes": read(value["bytes"])} if isinstance(value, dict) else value
        for name, value in row.items()
    }


def _parts(rows: list[Row], most_bytes: int, most_rows: int | None = None) -> Iterator[list[Row]]:
    """Cut rows into runs of at most so much content and so many rows; a larger row is a run of its own."""
    part: list[Row] = []
    size = 0
    for row in rows:
        added = sum(_bytes(value) for value in row.values())
        if part and (size + added > most_bytes or len(part) == most_rows):
            yield part
            part, size = [], 0
        part.append(row)
        size += added
    if part:
        yield part


def _bytes(value: object) -> int:
    """Return about how many bytes a value takes."""
    if isinstance(value, dict):
        return _bytes(value["bytes"])
    if isinstance(value, list):
        return sum(map(_bytes, value))
    return len(value) if isinstance(value, str | bytes | Blob) else 8
