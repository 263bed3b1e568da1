"""Lines: S, interval and cost of the runs of a method, pooled over seeds."""

import numpy as np
import pytest

from mubench.cards.leaderboard import tables
from mubench.cards.leaderboard.entries import beats, pooled_draws
from mubench.trainers.evaluation.result import References
from mubench.trainers.metrics.bootstrap import base_counts
from tests.cards.leaderboard.conftest import seeds


def test_an_interval_of_differences_around_zero_is_a_tie():
    zero = np.zeros(2000)
    assert not beats(zero, zero) and not beats(zero + np.linspace(-0.1, 0.5, 2000), zero)
    assert beats(zero + 0.01, zero) and not beats(zero, zero + 0.01)


@pytest.mark.parametrize("spread", [0.0, 0.09, 0.18])
def test_another_seed_never_widens_an_interval(new_row, spread):
    widths = []
    for count in (1, 2, 3, 5):
        offsets = np.linspace(-1, 1, count) if count > 1 else np.zeros(1)
        scores = 0.5 + spread * offsets / max(np.std(offsets, ddof=1) if count > 1 else 1, 1e-9)
        (entry,) = tables(seeds(new_row, "a", scores))[0].entries
        widths.append(entry.high - entry.low)
    assert widths == sorted(widths, reverse=True) and widths[-1] < 0.75 * widths[0]


def lines(new_row, scores):
    """Return the line of runs with these scores by base seed, against three base models."""
    rows = [
        new_row(score=score, base_seed=base, seed=seed, references=References(retrained=[0, 1, 2], bases=[0, 1, 2]))
        for base, runs in scores.items()
        for seed, score in enumerate(runs)
    ]
    (entry,) = tables(rows)[0].entries
    assert len(entry.rows) == len(rows)
    return entry


def test_more_runs_from_the_same_base_models_do_not_narrow_an_interval(new_row):
    one = lines(new_row, {0: [0.4], 1: [0.5], 2: [0.6]})
    four = lines(new_row, {0: [0.3, 0.5] * 2, 1: [0.5] * 4, 2: [0.5, 0.7] * 2})
    assert (one.seeds, four.seeds) == ("3", "3 (12 runs)")
    # The tolerance is for the normal numbers, which differ between lines.
    assert four.high - four.low == pytest.approx(one.high - one.low, rel=0.05)
    alone = lines(new_row, {0: [0.5] * 4})
    assert alone.seeds == "one seed (4 runs)" and alone.high - alone.low > 1.5 * (one.high - one.low)


def test_a_base_model_with_more_runs_does_not_weigh_more(new_row):
    even, uneven = (
        lines(new_row, {0: [0.9], 1: [0.3], 2: [0.3]}),
        lines(new_row, {0: [0.8, 1.0] * 3, 1: [0.3], 2: [0.3]}),
    )
    assert even.score == pytest.approx(0.5) == uneven.score
    np.testing.assert_allclose(pooled_draws(uneven.rows), pooled_draws(even.rows), atol=1e-3)  # stored in thousandths


def test_with_a_single_base_model_every_run_counts(new_row):
    one, four = (tables(seeds(new_row, "a", [0.5] * count))[0].entries[0] for count in (1, 4))
    assert (one.seeds, four.seeds) == ("one seed", "4") and four.high - four.low < 0.6 * (one.high - one.low)


def test_runs_are_weighted_by_the_draws_of_their_base(new_row):
    low, high = new_row(score=0.2, base_seed=0), new_row(score=0.6, base_seed=1)
    counts = base_counts(low.split, 2)
    expected = (counts[:, 0] * 0.2 + counts[:, 1] * 0.6) / 2
    np.testing.assert_allclose(pooled_draws([low, high]), expected)
    alone = pooled_draws([high])
    np.testing.assert_array_equal(np.isnan(alone), counts[:, 1] == 0)
    assert set(alone[counts[:, 1] > 0]) == {0.6}
    scratch = pooled_draws([new_row("retrain", score=0.2, base_seed=7)])
    assert (scratch == 0.2).all()
    with pytest.raises(ValueError, match="base seed 7"):
        pooled_draws([new_row(base_seed=7)])


def test_cost_is_a_share_of_retraining(demo_rows):
    (table,) = tables(demo_rows)
    assert table.entries[0].seconds == pytest.approx(0.1) and table.entries[0].passes == pytest.approx(0.1)
    assert table.controls[0].passes == 1 and table.controls[-1].passes is None
