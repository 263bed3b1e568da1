"""Shards: how rows are split into files and row groups, and what fingerprints depend on."""

import hashlib

import pyarrow.parquet as pq
import pytest

from mubench.hub_builders.dataset import shards
from mubench.hub_builders.dataset.manifest import files_fingerprint, shard_sums
from mubench.hub_builders.dataset.shards import (
    _plan_shards,
    features,
    split_fingerprint,
    write_shards,
)
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.rows import row_content
from mubench.hub_builders.utils.spool import Spool

IMDB = TASKS["imdb"]
MARKS = {"tier": "mini", "seed": 3}


def row(index, text="", **more):
    return {
        "example_id": f"r{index}",
        "source_index": None,
        "deletion_rank": index,
        "text": text,
        "label": index % 2,
    } | more


def ranges(part):
    return [one["deletion_rank"] for one in part]


def test_the_size_of_a_value_is_that_of_its_content():
    blob = Spool().append(b"12345")
    assert shards._size_of("abc") == 3 and shards._size_of(b"abcd") == 4 and shards._size_of(blob) == 5
    assert shards._size_of({"bytes": b"ab", "path": "ignored"}) == 2 and shards._size_of(["ab", "c"]) == 3
    assert shards._size_of(7) == shards._size_of(None) == 8


@pytest.mark.parametrize(("sizes", "max_bytes", "max_rows", "expected"), [
    ([], 10, None, []),
    ([4, 6], 10, None, [[4, 6]]),
    ([4, 7], 10, None, [[4], [7]]),
    ([11, 1], 10, None, [[11], [1]]),
    ([1, 11, 1], 10, None, [[1], [11], [1]]),
    ([1, 1, 1], 10, 2, [[1, 1], [1]]),
    ([1, 1, 9, 1], 10, 3, [[1, 1], [9, 1]]),
])  # fmt: skip
def test_rows_are_split_by_bytes_and_by_number(sizes, max_bytes, max_rows, expected):
    rows = [{"text": "x" * size} for size in sizes]
    parts = list(shards._split_by_size(rows, max_bytes, max_rows))
    assert [[len(one["text"]) for one in part] for part in parts] == expected


def test_a_plan_has_shards_for_the_rows_that_each_ratio_adds(monkeypatch):
    monkeypatch.setattr(shards, "MAX_SHARD_BYTES", 2 * (2 + 8 + 8 + 8 + 10))
    splits = {"train": [row(i, "x" * 10) for i in range(9)], "test": [row(9, "x" * 10)]}
    found = [(split, name, ranges(part)) for split, name, part in _plan_shards(splits, {5: 4, 1: 1, 2: 1})]
    assert found == [
        ("train", "train-d01.parquet", [0]),
        ("train", "train-d05.parquet", [1, 2]),
        ("train", "train-d05-00001.parquet", [3]),
        ("train", "train-rest-00000.parquet", [4, 5]),
        ("train", "train-rest-00001.parquet", [6, 7]),
        ("train", "train-rest-00002.parquet", [8]),
        ("test", "test-00000.parquet", [9]),
    ]


def test_shards_hold_the_rows_in_groups_with_the_marks(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MAX_GROUP_ROWS", 2)
    splits = {"train": [row(i, f"text {i}") for i in range(6)], "test": [row(6, "other")]}
    names = write_shards(tmp_path, IMDB, "mini", splits, forget={1: 1}, marks=MARKS)
    assert names == {"train": ["train-d01.parquet", "train-rest-00000.parquet"], "test": ["test-00000.parquet"]}
    file = pq.ParquetFile(tmp_path / "train-rest-00000.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [2, 2, 1]
    assert file.metadata.metadata[b"mubench"] == b'{"seed": 3, "tier": "mini"}'
    assert file.read()["text"].to_pylist() == [f"text {i}" for i in range(1, 6)]
    assert list(features(IMDB, "mini")) == ["example_id", "source_index", "deletion_rank", "text", "label"]
    assert list(features(TASKS["ddi2013"], "mini"))[3] == "group"


def test_a_shard_holds_up_to_32_mib_and_a_row_group_up_to_8(tmp_path):
    text = "x" * (3 * 2**20)
    write_shards(tmp_path, IMDB, "mini", {"train": [row(i, text) for i in range(11)]}, forget={}, marks=MARKS)
    files = [pq.ParquetFile(path).metadata for path in sorted(tmp_path.iterdir())]
    assert [[file.row_group(i).num_rows for i in range(file.num_row_groups)] for file in files] == [[2] * 5, [1]]


def test_the_fingerprint_of_files_covers_names_and_content(tmp_path):
    for name, data in (("b", b"2"), ("a", b"1")):
        (tmp_path / name).write_bytes(data)
    lines = "".join(f"{name} {hashlib.sha256(data).hexdigest()}\n" for name, data in (("a", b"1"), ("b", b"2")))
    expected = hashlib.sha256(lines.encode()).hexdigest()
    assert files_fingerprint(shard_sums(tmp_path, {"train": ["b"], "test": ["a"]})) == expected


def test_the_split_fingerprint_covers_split_id_rank_group_label_and_content():
    splits = {"train": [row(1, "b", group="g"), row(0, "a")], "ood": [row(2, "c")]}
    total = hashlib.sha256(b"[[3, 1]]")
    for split, one, label in (
        ("ood", row(2, "c"), "neg"),
        ("train", row(0, "a"), "neg"),
        ("train", row(1, "b"), "pos"),
    ):
        group = "g" if one["example_id"] == "r1" else ""
        head = f"{split}\0{one['example_id']}\0{one['deletion_rank']}\0{group}\0{label}\0".encode()
        total.update(hashlib.sha256(head + row_content(one, IMDB.columns)).digest())
    assert split_fingerprint(IMDB, "mini", splits, {3: 1}) == total.hexdigest()
