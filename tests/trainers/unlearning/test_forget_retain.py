"""Forget and retain rows in pairs."""

from __future__ import annotations

import numpy as np
import pytest

from mubench.trainers.unlearning.forget_retain import pair_rows, sample_rows

FEW, MANY = np.arange(4), np.arange(10, 21)


@pytest.mark.parametrize(("anchor", "others"), [(FEW, MANY), (MANY, FEW), (FEW, FEW + 50)])
def test_every_anchor_row_has_one_partner_and_partners_repeat_evenly(anchor: np.ndarray, others: np.ndarray) -> None:
    pairs = pair_rows(anchor, others, np.random.default_rng(0))
    assert pairs[:, 0].tolist() == anchor.tolist()
    times = [int((pairs[:, 1] == row).sum()) for row in others]
    assert sum(times) == len(anchor)
    assert max(times) - min(times) <= 1


def test_partners_depend_on_the_generator() -> None:
    first, again, other = (pair_rows(FEW, MANY, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[:, 1], MANY[: len(FEW)])


def test_no_rows_to_pair_with_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected rows to pair 4 others with, got none"):
        pair_rows(FEW, FEW[:0], np.random.default_rng(0))


def test_sampled_rows_are_a_share_in_order_and_one_at_least() -> None:
    rows = np.arange(10) * 3
    chosen = sample_rows(rows, 0.3, np.random.default_rng(0))
    assert len(chosen) == 3 and chosen.tolist() == sorted(set(chosen.tolist()) & set(rows.tolist()))
    assert len(sample_rows(rows, 0.01, np.random.default_rng(0))) == 1
    assert sample_rows(rows, 1.0, np.random.default_rng(0)).tolist() == rows.tolist()
