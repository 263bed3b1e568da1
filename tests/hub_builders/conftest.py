"""Mini builds that several tests read, and a small task that is quick to build again and again."""

import functools
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

from mubench.hub_builders.build import build
from mubench.hub_builders.mini import MINI
from mubench.hub_builders.raw.rows import Splits
from mubench.hub_builders.tasks import TASKS

COUNTS = {"train": 60, "validation": 20, "test": 30, "ood": 10}


@pytest.fixture(autouse=True)
def arrow_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test an Arrow cache of its own."""
    cache = tmp_path_factory.mktemp("arrow")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(cache))
    return cache


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset folder with both mini tasks; tests only read it."""
    out = tmp_path_factory.mktemp("mini")
    build("cifar10", out=out)
    return build("imdb", out=out)


@pytest.fixture(scope="session")
def mini_rows() -> Callable[[str], Splits]:
    """Return a function that gives the rows of a mini task, made once; tests only read them."""
    return functools.cache(lambda key: MINI[key]())


def small_rows(word: str) -> Splits:
    """Return a small imdb whose texts all hold a word."""
    return {
        split: [
            {"example_id": f"{split}-{i}", "source_index": None, "text": f"{word} {split} {i}", "label": i % 2}
            for i in range(rows)
        ]
        for split, rows in COUNTS.items()
    }


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that makes mini imdb 180 rows that hold a word; the next build takes them."""
    monkeypatch.setitem(TASKS["imdb"].counts, "mini", COUNTS)

    def become(word: str) -> None:
        monkeypatch.setitem(MINI, "imdb", lambda: small_rows(word))

    become("old")
    return become
