"""`StepBatchSampler`: steps are a pure function of seed and epoch, however they are divided."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mubench.trainers.engine.batches import StepBatchSampler


def sampler(*lengths: int, **options: int) -> StepBatchSampler:
    starts = np.cumsum((0, *lengths))
    phases = [np.arange(a, b) for a, b in itertools.pairwise(starts)]
    return StepBatchSampler(lambda _: phases, **{"epochs": 2, "rows_per_step": 8, **options})


def epoch(batches: StepBatchSampler, number: int) -> list[list[int]]:
    batches.set_epoch(number)
    return list(batches)


def flat(batches: list[list[int]]) -> list[int]:
    return sorted(itertools.chain.from_iterable(batches))


def steps(number: int, *lengths: int, world: int, micro: int) -> list[list[int]]:
    """Put the micro-batches of all processes together again."""
    parts = [epoch(sampler(*lengths, rank=r, world_size=world, micro_batches=micro), number) for r in range(world)]
    assert len({len(part) for part in parts}) == 1
    return [flat([part[i + k] for part in parts for k in range(micro)]) for i in range(0, len(parts[0]), micro)]


def test_an_epoch_covers_each_row_once_in_steps_of_nearly_equal_size() -> None:
    batches = epoch(sampler(21, rows_per_step=8), 0)
    assert flat(batches) == list(range(21))
    assert [len(batch) for batch in batches] == [7, 7, 7]
    assert len(sampler(21, rows_per_step=8)) == 3


@pytest.mark.parametrize(("world", "micro"), [(2, 1), (1, 4), (2, 2), (4, 1)])
def test_the_rows_of_a_step_depend_on_neither_processes_nor_accumulation(world: int, micro: int) -> None:
    assert steps(1, 21, world=world, micro=micro) == steps(1, 21, world=1, micro=1)


def test_every_process_and_micro_batch_gets_rows() -> None:
    for rank in range(2):
        sizes = [len(batch) for batch in epoch(sampler(21, rank=rank, world_size=2, micro_batches=2), 0)]
        assert len(sizes) == 6
        assert min(sizes) >= 1


def test_batches_change_with_seed_and_epoch_and_nothing_else() -> None:
    first = epoch(sampler(21), 0)
    assert epoch(sampler(21), 0) == first
    assert epoch(sampler(21), 1) != first
    assert epoch(sampler(21, seed=1), 0) != first


def test_shuffles_are_of_positions_not_of_row_numbers() -> None:
    late = StepBatchSampler(lambda _: [np.arange(100, 121)], epochs=1, rows_per_step=8)
    assert [[row - 100 for row in batch] for batch in late] == epoch(sampler(21), 0)


def test_phases_follow_each_other_and_never_share_a_step() -> None:
    batches = epoch(sampler(10, 6), 0)
    assert [sorted({row >= 10 for row in batch}) for batch in batches] == [[False], [False], [True]]


def test_epochs_of_different_length_become_one_long_epoch() -> None:
    rows = [np.arange(10), np.arange(10, 16)]
    uneven = StepBatchSampler(lambda e: rows[: 2 - e], epochs=2, rows_per_step=8)
    assert uneven.flat
    assert len(uneven) == 5
    batches = list(uneven)
    assert flat(batches[:3]) == list(range(16))
    assert flat(batches[3:]) == list(range(10))
    assert not sampler(10, 6).flat


def test_a_fraction_of_epochs_is_refused_only_where_epochs_differ() -> None:
    assert len(StepBatchSampler(lambda _: [np.arange(10)], epochs=1.5, rows_per_step=8)) == 2
    with pytest.raises(ValueError, match=r"must be whole where epochs differ in length, got 1\.5"):
        StepBatchSampler(lambda e: [np.arange(10 + 9 * e)], epochs=1.5, rows_per_step=8)


@pytest.mark.parametrize("phases", [[], [np.arange(0)], [np.arange(5), np.arange(0)]])
def test_an_empty_phase_is_refused(phases: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="every phase of training needs rows"):
        StepBatchSampler(lambda _: phases, epochs=1, rows_per_step=8)


def test_a_step_too_small_to_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected at least 4 rows per step .* got 3"):
        sampler(3, world_size=2, micro_batches=2)


def test_pairs_stay_together_and_count_as_one() -> None:
    pairs = np.stack([np.arange(9), np.arange(100, 109)], axis=1)
    batches = list(StepBatchSampler(lambda _: [pairs], epochs=1, rows_per_step=4, micro_batches=2))
    assert [len(batch) for batch in batches] == [4, 2] * 3
    assert all(batch[i + 1] == batch[i] + 100 for batch in batches for i in range(0, len(batch), 2))
    assert flat(batches) == sorted(pairs.ravel())
