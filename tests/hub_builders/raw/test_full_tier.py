"""Builds of the original files; ``MUBENCH_DATA`` names the folder above ``raw``."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task, task_info
from mubench.hub_builders.dataset.readme import task_folders
from mubench.hub_builders.tasks import TASKS, Tier

RAW = Path(os.environ.get("MUBENCH_DATA", Path(__file__).parents[3] / "../shared/data")) / "raw"
# Tier that the local files allow: the full one, or the partial one of fewer rows or of a stand-in.
REAL: dict[str, Tier] = {
    "cifar10": "full",
    "imdb": "full",
    "ddi2013": "full",
    "nlvr2": "partial",
    "speech_commands": "partial",
    "ucf101": "partial",
    "samsum": "partial",
    "tiny_imagenet": "partial",
    "tofu": "full",
}
COUNTS = {task: TASKS[task].counts["full"] for task, tier in REAL.items() if tier == "full"}
COUNTS |= {"nlvr2": {"train": 5_934, "validation": 1_188, "test": 4_752}}
COUNTS |= {
    "tiny_imagenet": {"train": 20_000, "validation": 400, "test": 1_600},
    "samsum": {"train": 14_731, "validation": 818, "test": 819},
    "ucf101": {"train": 204, "validation": 18, "test": 66},
    "speech_commands": {"train": 1_806, "validation": 228, "test": 266},
}
pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(not RAW.is_dir(), reason=f"no original files in {RAW}: set MUBENCH_DATA"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return a function that builds a task once from the original files and returns the dataset folder."""
    out = tmp_path_factory.mktemp("full")
    return cache(lambda key: build(key, tier=REAL[key], raw=RAW, out=out, allow_partial=REAL[key] == "partial"))


@pytest.mark.parametrize("task", REAL)
def test_the_original_files_have_the_known_counts(built, task):
    assert task_info(task, data=built(task)).counts == COUNTS[task]


@pytest.mark.parametrize("task", REAL)
def test_a_repository_is_hardly_larger_than_one_file_per_split(built, tmp_path, task):
    folder = built(task)
    whole = 0
    for split in task_info(task, data=folder).counts:
        paths = sorted((folder / "data" / task).rglob(f"{split}-*.parquet"))
        one = tmp_path / f"{split}.parquet"
        rows = pa.concat_tables(pq.read_table(path) for path in paths)
        settings = {"compression": "zstd", "use_dictionary": ["label"], "write_statistics": False}
        pq.write_table(rows, one, row_group_size=1_000, **settings)
        whole += one.stat().st_size
    stored = sum(path.stat().st_size for path in (folder / "data" / task).rglob("*") if path.is_file())
    card = folder / "README.md"
    stored += card.stat().st_size // len(task_folders(card))  # all tasks share it
    assert stored <= max(1.05 * whole, whole + 65_536)


def test_every_class_is_deleted_in_its_share(built):
    forget = load_task("cifar10", 5, data=built("cifar10"))["forget"]
    assert np.bincount(forget["label"][:]).tolist() == [250] * 10


def test_a_subset_of_five_thousand_rows_keeps_all_test_rows(tmp_path):
    folder = build("cifar10", tier="partial", raw=RAW, out=tmp_path, max_train_rows=5_000)
    info = task_info("cifar10", data=folder)
    assert (info.tier, info.counts) == ("partial", {"train": 5_000, "validation": 2_000, "test": 8_000})
    labels = load_task("cifar10", data=folder)["train"]["label"][:]
    assert np.bincount(labels).tolist() == [500] * 10
