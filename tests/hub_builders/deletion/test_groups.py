"""The rule of the group family: the fewest whole groups in the order of their hashes."""

import hashlib
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mubench.hub_builders.deletion.ranks import Deletion, deletion_ranks, group_deletion, move_to_front

RATIOS = range(1, 11)


@st.composite
def grouped(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Draw rows as (id, group), with groups of very different sizes."""
    sizes = draw(st.lists(st.integers(1, 9), min_size=10, max_size=30))
    names = draw(st.lists(st.text(min_size=1, max_size=6), min_size=len(sizes), max_size=len(sizes), unique=True))
    offset = draw(st.integers(0, 10**6))
    rows = [name for name, size in zip(names, sizes, strict=True) for _ in range(size)]
    return [(f"row-{offset + i}", name) for i, name in enumerate(rows)]


def deleted(rows: list[tuple[str, str]], seed: int = 0) -> tuple[list[str], list[str], Deletion]:
    """Return ids and groups in deletion order."""
    ids, groups = (list(column) for column in zip(*rows, strict=True))
    found = group_deletion(ids, groups, task="t", seed=seed)
    order = np.argsort(found.ranks).tolist()
    return [ids[i] for i in order], [groups[i] for i in order], found


def too_coarse(rows: list[tuple[str, str]], seed: int = 0) -> bool:
    """Return whether 10 % deletes every group: all but the last one have less than 10 % of the rows."""
    hashed = sorted({group for _, group in rows}, key=lambda g: hashlib.sha256(f"{seed}:t:{g}".encode()).digest())
    last = sum(group == hashed[-1] for _, group in rows)
    return 10 * (len(rows) - last) < len(rows)


def check(rows: list[tuple[str, str]], seed: int, shuffle: random.Random) -> None:
    """Check every property of the rule on one case."""
    if too_coarse(rows, seed):
        with pytest.raises(ValueError, match="leaves some, got"):
            deleted(rows, seed)
        return
    ids, groups, found = deleted(rows, seed)
    hashed = sorted(set(groups), key=lambda g: hashlib.sha256(f"{seed}:t:{g}".encode()).digest())
    assert list(dict.fromkeys(groups)) == hashed
    sizes = [found.forget[ratio] for ratio in RATIOS]
    assert sizes == sorted(sizes) and sizes[0] > 0 and sizes[-1] < len(rows)
    for ratio, size in found.forget.items():
        assert not set(groups[:size]) & set(groups[size:])  # whole groups
        assert 100 * size >= ratio * len(rows)
        without_last = size - sum(group == groups[size - 1] for group in groups[:size])
        assert 100 * without_last < ratio * len(rows)  # and no group too many
    for group in hashed:
        own = [i for i, g in zip(ids, groups, strict=True) if g == group]
        assert own == sorted(own, key=lambda i: hashlib.sha256(f"{seed}:t:{i}".encode()).digest())
    mixed = shuffle.sample(rows, len(rows))
    assert deleted(mixed, seed)[:2] == (ids, groups)


@settings(max_examples=60, deadline=None)
@given(grouped(), st.integers(0, 3), st.randoms(use_true_random=False))
def test_group_sets_are_nested_whole_minimal_and_independent_of_row_order(rows, seed, shuffle):
    check(rows, seed, shuffle)


@pytest.mark.nightly
@settings(max_examples=2_000, deadline=None)
@given(grouped(), st.integers(0, 3), st.randoms(use_true_random=False))
def test_many_group_sets(rows, seed, shuffle):
    check(rows, seed, shuffle)


def test_another_seed_or_task_deletes_other_groups():
    ids, groups = [f"row-{i}" for i in range(600)], [f"group {i // 6}" for i in range(600)]
    sets = []
    for task, seed in (("t", 0), ("t", 1), ("u", 0)):
        found = group_deletion(ids, groups, task=task, seed=seed)
        assert found.forget == {ratio: 6 * ratio for ratio in RATIOS}
        sets.append({groups[i] for i in np.flatnonzero(found.ranks < found.forget[10])})
    assert all(len(one) == 10 for one in sets)
    assert all(len(a & b) < 5 for a in sets for b in sets if a is not b)


def test_a_ratio_without_a_further_group_equals_the_one_before():
    groups = [f"group {i // 25}" for i in range(500)]
    found = group_deletion([f"row-{i}" for i in range(500)], groups, task="t")
    assert found.forget == {**dict.fromkeys(range(1, 6), 25), **dict.fromkeys(range(6, 11), 50)}


@pytest.mark.parametrize(("groups", "message"), [
    (["a"] * 4, "expected a ratio that deletes some of 4 training rows and leaves some, got 4 rows at 1 %"),
    ([], "expected one group a row, got 0 for 4 rows of t"),
    (["a"] * 3, "expected one group a row, got 3 for 4 rows of t"),
])  # fmt: skip
def test_too_few_groups_are_an_error(groups, message):
    with pytest.raises(ValueError, match=message):
        group_deletion([f"row-{i}" for i in range(4)], groups, task="t")


def test_no_rows_are_an_error():
    with pytest.raises(ValueError, match="expected one group a row, got 0 for 0 rows"):
        group_deletion([], [], task="t")


@given(st.lists(st.integers(0, 39), unique=True, max_size=40))
def test_listed_rows_are_first_and_the_others_keep_their_order(listed):
    ranks = deletion_ranks([f"row-{i}" for i in range(40)], None, task="t")
    order = np.argsort(move_to_front(listed, ranks)).tolist()
    assert order[: len(listed)] == listed
    assert order[len(listed) :] == [i for i in np.argsort(ranks).tolist() if i not in listed]
