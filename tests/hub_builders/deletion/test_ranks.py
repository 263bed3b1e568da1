"""Deletion order of single rows, validation rows and held-out groups."""

import hashlib
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mubench.hub_builders.deletion.ranks import deletion_ranks, forget_size, held_out_groups, validation_rows
from mubench.hub_builders.utils.hash_order import digest, stratified_ranks

RATIOS = range(1, 11)


@st.composite
def tasks(draw: st.DrawFn) -> tuple[list[str], list[int], int]:
    """Draw ids, labels of uneven strata (some under ten rows) and a seed."""
    sizes = draw(st.lists(st.integers(1, 90), min_size=1, max_size=8))
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    offset = draw(st.integers(0, 10**6))
    return [f"row-{offset + i}" for i in range(len(labels))], labels, draw(st.integers(0, 5))


def pooled(labels: list[int]) -> list[int]:
    sizes = Counter(labels)
    return [label if sizes[label] >= 10 else -1 for label in labels]


def reference_order(ids: list[str], labels: list[int], task: str, seed: int) -> list[str]:
    """Return ids in deletion order: a reference implementation with exact fractions."""
    hashed = {i: hashlib.sha256(f"{seed}:{task}:{i}".encode()).hexdigest() for i in ids}
    keys = {}
    for stratum in set(pooled(labels)):
        members = sorted((i for i, s in zip(ids, pooled(labels), strict=True) if s == stratum), key=hashed.__getitem__)
        keys |= {i: Fraction(2 * place + 1, 2 * len(members)) for place, i in enumerate(members)}
    return sorted(ids, key=lambda i: (keys[i], hashed[i]))


@settings(max_examples=60, deadline=None)
@given(tasks())
def test_ranks_follow_from_ids_alone(case):
    ids, labels, seed = case
    ranks = deletion_ranks(ids, labels, task="t", seed=seed)
    assert [ids[i] for i in np.argsort(ranks)] == reference_order(ids, labels, "t", seed)
    assert ranks.dtype == np.int32


@settings(max_examples=40, deadline=None)
@given(tasks())
def test_sets_are_nested_disjoint_and_covering(case):
    ids, labels, seed = case
    order = np.array(ids)[np.argsort(deletion_ranks(ids, labels, task="t", seed=seed))]
    smaller: set[str] = set()
    for size in (forget_size(len(ids), r) for r in RATIOS if len(ids) * r >= 50):
        forget, retain = set(order[:size]), set(order[size:])
        assert smaller <= forget
        assert not forget & retain and forget | retain == set(ids)
        smaller = forget


@settings(max_examples=60, deadline=None)
@given(tasks(), st.floats(0, 1))
def test_every_head_of_the_order_has_the_share_of_every_stratum_within_one_row(case, share):
    ids, labels, seed = case
    ranks = deletion_ranks(ids, labels, task="t", seed=seed)
    strata = np.array(pooled(labels))
    cut = round(share * len(ids))
    counts = {s: (int((ranks[strata == s] < cut).sum()), int((strata == s).sum())) for s in set(strata.tolist())}
    low = max((count - 1) / size for count, size in counts.values())
    high = min((count + 1) / size for count, size in counts.values())
    assert low <= high


@settings(max_examples=30, deadline=None)
@given(tasks(), st.randoms(use_true_random=False))
def test_ranks_do_not_depend_on_the_order_of_rows(case, random):
    ids, labels, seed = case
    ranks = dict(zip(ids, deletion_ranks(ids, labels, task="t", seed=seed).tolist(), strict=True))
    shuffled = random.sample(range(len(ids)), len(ids))
    again = deletion_ranks([ids[i] for i in shuffled], [labels[i] for i in shuffled], task="t", seed=seed)
    assert ranks == dict(zip((ids[i] for i in shuffled), again.tolist(), strict=True))


def test_seed_task_and_ids_change_the_set():
    ids = [f"row-{i}" for i in range(1000)]
    sets = [
        frozenset(np.flatnonzero(deletion_ranks(names, None, task=task, seed=seed) < 50))
        for names, task, seed in ((ids, "t", 0), (ids, "t", 1), (ids, "u", 0), ([i + "x" for i in ids], "t", 0))
    ]
    assert len(set(sets)) == 4
    assert all(len(a & b) < 20 for a in sets for b in sets if a is not b)


def test_strata_under_ten_rows_are_pooled():
    ids = [f"row-{i}" for i in range(140)]
    labels = [0] * 100 + [i // 4 for i in range(4, 44)]
    one = [0] * 100 + [1] * 40
    assert np.array_equal(deletion_ranks(ids, labels, task="t"), deletion_ranks(ids, one, task="t"))


def test_digest_is_the_sha256_of_prefix_and_id():
    assert digest("0:t", "a").hex() == hashlib.sha256(b"0:t:a").hexdigest()


@pytest.mark.parametrize(
    ("rows", "ratio", "size"), [(50_000, 5, 2_500), (1_200, 5, 60), (50, 1, 1), (149, 1, 1), (150, 1, 2)]
)
def test_forget_size_rounds_half_up(rows, ratio, size):
    assert forget_size(rows, ratio) == size


@pytest.mark.parametrize(("rows", "ratio"), [(49, 1), (0, 10), (1_000, 0)])
def test_a_ratio_that_deletes_nothing_is_an_error(rows, ratio):
    with pytest.raises(ValueError, match="deletes at least one row, got"):
        forget_size(rows, ratio)


@pytest.mark.parametrize("strata", [None, [0, 0]])
def test_equal_ids_are_an_error(strata):
    with pytest.raises(ValueError, match="distinct example ids"):
        deletion_ranks(["a", "a"], strata, task="t")


def test_validation_is_the_first_fifth_per_label_in_hash_order():
    ids = [f"row-{i}" for i in range(300)]
    labels = [0] * 200 + [1] * 100
    chosen = validation_rows(ids, labels, task="t")
    for label in (0, 1):
        mine = [i for i, own in zip(ids, labels, strict=True) if own == label]
        first = sorted(mine, key=lambda i: hashlib.sha256(f"validation:t:{i}".encode()).digest())[: len(mine) // 5]
        assert {i for i in mine if chosen[ids.index(i)]} == set(first)


def test_validation_rows_are_independent_of_deletion_ranks():
    ids = [f"row-{i}" for i in range(2_000)]
    chosen = validation_rows(ids, None, task="t")
    assert chosen.sum() == 400
    deleted = deletion_ranks(ids, None, task="t") < 400
    assert 50 < (chosen & deleted).sum() < 110


def test_a_subset_by_rank_keeps_equal_labels_equal():
    ids = [f"row-{i}" for i in range(1_000)]
    kept = stratified_ranks(ids, [i % 10 for i in range(1_000)], prefix="subset:t") < 100
    assert np.bincount(np.arange(1_000)[kept] % 10).tolist() == [10] * 10


@given(st.integers(10, 60), st.integers(1, 4))
def test_held_out_groups_are_a_tenth_and_half_of_that(groups, each):
    names = [f"author {i}" for i in range(groups)]
    place = held_out_groups([name for name in names for _ in range(each)], task="tofu")
    sizes = Counter(place.values())
    assert sizes["test"] == round(groups / 10) and sizes["validation"] == max(1, sizes["test"] // 2)
    assert place == held_out_groups(names[::-1], task="tofu") and set(place) <= set(names)


def test_held_out_groups_are_the_first_in_hash_order():
    names = [f"author {i}" for i in range(45)]
    order = sorted(names, key=lambda name: hashlib.sha256(f"test:tofu:{name}".encode()).digest())
    held_out = held_out_groups(names, task="tofu")
    assert list(held_out.items()) == [(name, "test") for name in order[:4]] + [
        (name, "validation") for name in order[4:6]
    ]


def test_fewer_than_ten_groups_cannot_be_held_out():
    with pytest.raises(ValueError, match="at least 10 groups of tofu to hold some out, got 9"):
        held_out_groups([str(i) for i in range(9)], task="tofu")


def test_another_task_holds_out_other_groups():
    names = [str(i) for i in range(200)]
    assert set(held_out_groups(names, task="tofu")) != set(held_out_groups(names, task="celeb_profile"))
