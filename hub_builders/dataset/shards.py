"""Parquet shards of one task: one copy of the rows, split so that every ratio is a list of whole files."""

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

from mubench.hub_builders.deletion.ranks import percent_of
from mubench.hub_builders.tasks import Task, Tier
from mubench.hub_builders.tasks.names import RATIOS
from mubench.hub_builders.tasks.rows import Row, Splits, row_content
from mubench.hub_builders.utils.spool import Blob, read_bytes

# A stream reads one shard ahead: shards of 256 MiB take 771 MiB of memory, of 32 MiB 475, 400 of them the libraries.
MAX_SHARD_BYTES = 32 * 2**20
# A reader holds one row group at a time, or a few if it prefetches batches.
MAX_GROUP_BYTES = 8 * 2**20
MAX_GROUP_ROWS = 1_000


def features(task: Task, tier: Tier) -> Features:
    """Return the columns of every split of a task."""
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


def _plan_shards(splits: Splits, forget: Mapping[int, int]) -> Iterator[tuple[str, str, list[Row]]]:
    """Yield (split, file name, rows) of every shard, none empty; rows that a ratio adds have shards of their own."""
    train, done = splits["train"], 0
    for ratio, size in sorted(forget.items()):
        for number, part in enumerate(_split_by_size(train[done:size], MAX_SHARD_BYTES)):
            yield "train", f"train-d{ratio:02d}{f'-{number:05d}' if number else ''}.parquet", part
        done = size
    rest = {"train-rest": train[done:], **{name: rows for name, rows in splits.items() if name != "train"}}
    for name, rows in rest.items():
        for number, part in enumerate(_split_by_size(rows, MAX_SHARD_BYTES)):
            yield name.removesuffix("-rest"), f"{name}-{number:05d}.parquet", part


def write_shards(
    folder: Path, task: Task, tier: Tier, splits: Splits, *, forget: Mapping[int, int], marks: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Write all shards of a task and return their names per split.

    Args:
        folder: An empty folder.
        task: The task.
        tier: The tier, which determines the class names.
        splits: Rows with their ``deletion_rank``, ``train`` in deletion order.
        forget: Number of deleted rows by ratio.
        marks: Tier, family and seed, stored in the shards so that builds that differ in them differ in fingerprint.
    """
    schema = features(task, tier).arrow_schema
    schema = schema.with_metadata({**schema.metadata, b"mubench": json.dumps(marks, sort_keys=True).encode()})
    shards: dict[str, list[str]] = {}
    with tqdm(total=sum(map(len, splits.values())), desc=f"{task.key}: writing", unit="row", disable=None) as bar:
        for split, name, rows in _plan_shards(splits, forget):
            _write_shard(folder / name, rows, schema, bar)
            shards.setdefault(split, []).append(name)
    return shards


def split_fingerprint(task: Task, tier: Tier, splits: Splits, forget: Mapping[int, int]) -> str:
    """Return the SHA-256 over sorted ids, ranks and contents: equal for equal rows and deletions, however stored.

    Forget sizes are hashed too unless they are the canonical ones, which follow from the rows.
    """
    labels = task.label_names(tier)
    total = hashlib.sha256()
    if dict(forget) != {ratio: percent_of(len(splits["train"]), ratio) for ratio in RATIOS}:
        total.update(json.dumps(sorted(forget.items())).encode())
    for split in sorted(splits):
        for row in sorted(splits[split], key=lambda row: str(row["example_id"])):
            label = labels[row["label"]] if "label" in task.columns else ""
            head = f"{split}\0{row['example_id']}\0{row['deletion_rank']}\0{row.get('group', '')}\0{label}\0"
            total.update(hashlib.sha256(head.encode() + row_content(row, task.columns)).digest())
    return total.hexdigest()


def _write_shard(path: Path, rows: list[Row], schema: pa.Schema, bar: tqdm[Any]) -> None:
    """Write one shard by row groups; compressed media gain nothing from a dictionary.

    The Arrow schema is not stored: its types follow from Parquet's, and the Hub's features are in the metadata. It
    would be a tenth of the bytes of small shards.
    """
    settings = {"compression": "zstd", "use_dictionary": ["label"], "write_statistics": False, "store_schema": False}
    with pq.ParquetWriter(path, schema, **settings) as writer:
        writer.add_key_value_metadata(schema.metadata)
        for batch in _split_by_size(rows, MAX_GROUP_BYTES, MAX_GROUP_ROWS):
            writer.write_table(pa.Table.from_pylist([_load_media(row) for row in batch], schema=schema))
            bar.update(len(batch))


def _load_media(row: Row) -> Row:
    return {
        name: {**value, "bytes": read_bytes(value["bytes"])} if isinstance(value, dict) else value
        for name, value in row.items()
    }


def _split_by_size(rows: list[Row], max_bytes: int, max_rows: int | None = None) -> Iterator[list[Row]]:
    """Split rows into runs of at most ``max_bytes`` and ``max_rows``; a larger row is a run of its own."""
    part: list[Row] = []
    size = 0
    for row in rows:
        added = sum(_size_of(value) for value in row.values())
        if part and (size + added > max_bytes or len(part) == max_rows):
            yield part
            part, size = [], 0
        part.append(row)
        size += added
    if part:
        yield part


def _size_of(value: object) -> int:
    if isinstance(value, dict):
        return _size_of(value["bytes"])
    if isinstance(value, list):
        return sum(map(_size_of, value))
    return len(value) if isinstance(value, str | bytes | Blob) else 8
