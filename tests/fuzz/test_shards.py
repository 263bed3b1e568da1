"""Flipped bits in parquet shards: a reader refuses them and names the file, however warm the Arrow cache is."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task
from mubench.hub_builders.mini import MINI
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.utils.checksums import SUMS
from tests.fixtures.data import COUNTS, small_rows
from tests.fuzz.cases import count_outcomes, shares


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a small build."""
    monkeypatch.setitem(TASKS["imdb"].counts, "mini", COUNTS)
    monkeypatch.setitem(MINI, "imdb", lambda: small_rows("old"))
    return build("imdb", out=tmp_path)


def flip(data: bytes, generator: random.Random, count: int = 1) -> bytes:
    """Return bytes with some bits flipped."""
    changed = bytearray(data)
    for _ in range(count):
        changed[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    return bytes(changed)


@shares(fast=40, whole=400)
def test_a_flipped_bit_of_a_shard_is_refused(folder: Path, first: int, last: int) -> None:
    shards, sums = sorted(folder.rglob("*.parquet")), next(folder.rglob(SUMS))
    whole = {split: rows.to_list() for split, rows in load_task("imdb", data=folder).items()}

    def run(generator: random.Random) -> str:
        shard, early, listed = generator.choice(shards), generator.random() < 0.25, sums.read_bytes()
        data = shard.read_bytes()
        shard.write_bytes(flip(data, generator, generator.choice([1, 1, 1, 2, 64])))
        if early:  # a build of the time before the list of sums
            sums.unlink()
        changed = shard.read_bytes() != data
        try:
            rows = {split: part.to_list() for split, part in load_task("imdb", data=folder).items()}
        except ValueError as error:
            line = str(error)
        else:
            assert rows == whole and not changed
            return "same"
        finally:
            shard.write_bytes(data)
            sums.write_bytes(listed)
        named = rf"{shard.parent if early else shard}; build it again with `mubench build imdb --out .*`$"
        assert re.search(named, line) and "\n" not in line, line
        return "refused, without a list" if early else "refused"

    count_outcomes(first, last, run)
    assert {split: rows.to_list() for split, rows in load_task("imdb", data=folder).items()} == whole
