from dataclasses import fields

import numpy as np
import pytest

from mubench.trainers.metrics import NoSignal
from mubench.trainers.metrics import bootstrap as module
from mubench.trainers.metrics.bootstrap import DRAWS, base_counts, bootstrap, interval, retrained_counts, weights
from mubench.trainers.metrics.score import Parts, Weights, parts, weighted_parts


def test_uniform_weights_give_the_score_itself(world):
    case = world.case(world.views(saw=0.4, seed=7))
    drawn = weighted_parts(case, Weights.uniform(case))
    for field in fields(drawn):
        assert getattr(drawn, field.name)[0] == getattr(parts(case), field.name)


def test_a_draw_equals_the_naive_score_of_the_resampled_rows_and_models(world, naive):
    case = world.case(world.views(saw=0.4, seed=7))
    drawn = weights(case, "0123abcd", draws=12)
    vectorised = weighted_parts(case, drawn)
    resampled = set()
    for j in range(12):
        times = np.rint(drawn.rows[j] * world.rows["forget"]).astype(int)
        rows = np.repeat(np.arange(len(times)), times)

        def resample(views, rows=rows):
            one = views["forget"]
            copy = object.__new__(type(one))  # a resample repeats ids, which ClassOutputs refuses
            for name in ("ids", "logits", "labels"):
                object.__setattr__(copy, name, getattr(one, name)[rows])
            return {**views, "forget": copy}

        retrained = [resample(views) for views in case.retrained]
        bases = [resample(views) for views in case.bases]
        many = [views for views, n in zip(retrained, drawn.retrained[j], strict=True) for _ in range(int(n))]
        some = [views for views, n in zip(bases, drawn.bases[j], strict=True) for _ in range(int(n))]
        expected = naive(resample(case.model), many, some, case.chance)
        got = [getattr(vectorised, field.name)[j] for field in fields(vectorised)]
        np.testing.assert_allclose(got, expected, atol=1e-9)
        resampled.add((tuple(drawn.retrained[j]), tuple(drawn.bases[j])))
    assert len(resampled) > 4  # several multisets of models were among them


def test_draws_are_common_to_all_models_of_a_split(world):
    first, second = (world.case(world.views(saw=saw, seed=7)) for saw in (0.2, 0.6))
    one, other = weights(first, "aa"), weights(second, "aa")
    for field in fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))
    assert (weights(first, "bb").rows != one.rows).any()
    np.testing.assert_array_equal(base_counts("aa", 2), one.bases)


def test_every_draw_has_two_retrained_models_and_full_counts():
    for k in (2, 3, 5):
        counts = retrained_counts("aa", k)
        assert counts.shape == (DRAWS, k) and (counts.sum(axis=1) == k).all()
        assert ((counts > 0).sum(axis=1) >= 2).all()
        np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.08)
    with pytest.raises(ValueError, match="at least 2"):
        retrained_counts("aa", 1)


def test_interval_holds_the_score_and_narrows_with_rows(world):
    model = world.views(saw=0.5, seed=51)
    case = world.case(model)
    low, high = interval(bootstrap(case, "aa").draws)
    assert low < float(parts(case).score) < high and 0.15 < high - low < 0.7
    wide = type(world)({"forget": 960, "retain": 600, "test": 2000}, seed=0)
    big = wide.case(wide.views(saw=0.5, seed=51))
    narrow_low, narrow_high = interval(bootstrap(big, "aa").draws)
    assert narrow_high - narrow_low < (high - low) / 2


def test_draws_are_paired_between_models(world, surer):
    """Two models that are nearly the same differ by far less than either varies."""
    model = world.views(saw=0.5, seed=51)
    first, second = (bootstrap(world.case(one), "aa").draws for one in (model, surer(model, forget=0.2)))
    assert 0 < np.std(first - second) < 0.5 * np.std(first)


def test_the_interval_holds_95_percent_of_the_draws():
    assert interval(np.linspace(0, 1, 2001)) == pytest.approx((0.025, 0.975))


def test_draws_without_signal_count_as_0_and_more_than_5_percent_are_refused(world, monkeypatch):
    def weighted(case, drawn):
        row = np.full(len(drawn.rows), 0.25)
        row[:lost] = np.nan
        return Parts(row, row, row, np.zeros_like(row))

    monkeypatch.setattr(module, "weighted_parts", weighted)
    case, lost = world.case(world.bases()[0]), 5
    found = bootstrap(case, "aa", 100)
    assert found.draws.tolist() == [0] * 5 + [0.75] * 95 and found.lost == 5
    lost = 6
    with pytest.raises(NoSignal, match="no signal in 6 of 100 bootstrap draws, more than 5%"):
        bootstrap(case, "aa", 100)


def test_a_task_of_few_noisy_rows_has_no_interval(world):
    few = type(world)({"forget": 12, "retain": 50, "test": 40}, seed=2, center=3.4, spread=1.2)
    case = few.case(few.views(saw=0.5, seed=51))
    with pytest.raises(NoSignal, match="of 2000 bootstrap draws"):
        bootstrap(case, "aa")
