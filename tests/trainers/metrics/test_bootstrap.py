from dataclasses import fields

import numpy as np
import pytest

from mubench.trainers.metrics import NoSignal
from mubench.trainers.metrics.attacks import weighted_areas
from mubench.trainers.metrics.bootstrap import DRAWS, base_counts, bootstrap, interval, retrained_counts, weights
from mubench.trainers.metrics.score import Parts, WeightedReference, judged_attacks, parts


def draws_of(case, split="aa", draws=DRAWS):
    return bootstrap(case.evidence, case.reference, split, draws).draws


def test_a_draw_equals_the_naive_score_of_the_resampled_rows_and_models(world, naive):
    case = world.case(world.views(saw=0.4, seed=7))
    drawn = weights(case.reference, "0123abcd", draws=12)
    vectorised = WeightedReference(case.reference, drawn).parts(case.evidence)
    resampled = set()
    for j in range(12):
        rows = {}
        for split, each in (("forget", drawn.forget[j]), ("test", drawn.test[j])):
            times = np.rint(each * world.rows[split]).astype(int)
            rows[split] = np.repeat(np.arange(len(times)), times)

        def resample(views, rows=rows):
            copies = {}
            for split, chosen in rows.items():
                one = views[split]
                copies[split] = object.__new__(type(one))  # a resample repeats ids, which ClassOutputs refuses
                for name in ("ids", "logits", "labels"):
                    object.__setattr__(copies[split], name, getattr(one, name)[chosen])
            return {**views, **copies}

        retrained = [resample(views) for views in case.retrained]
        bases = [resample(views) for views in case.bases]
        many = [views for views, n in zip(retrained, drawn.retrained[j], strict=True) for _ in range(int(n))]
        some = [views for views, n in zip(bases, drawn.bases[j], strict=True) for _ in range(int(n))]
        row, mean, _, utility = naive(resample(case.model), many, some, 0.1, attack=False)
        got = [getattr(vectorised, name)[j] for name in ("row", "mean", "utility")]
        np.testing.assert_allclose(got, [row, mean, utility], atol=1e-9)
        resampled.add((tuple(drawn.retrained[j]), tuple(drawn.bases[j])))
    assert len(resampled) > 4  # several multisets of models were among them


def test_areas_of_a_draw_are_those_of_its_rows_to_first_order(world):
    """The attacks stay those on all rows; a draw resamples where they place each row."""
    case = world.case(world.views(saw=0.4, seed=7))
    attacks, drawn = judged_attacks(case.evidence, case.reference), weights(case.reference, "aa", draws=200)
    areas = weighted_areas([attacks], drawn.forget, drawn.test)[:, 0, 0]
    log_odds = case.evidence.forget.log_odds, case.evidence.test.log_odds
    above = (log_odds[0][:, None] > log_odds[1]) + 0.5 * (log_odds[0][:, None] == log_odds[1])
    exact = np.einsum("jn,nm,jm->j", drawn.forget, above, drawn.test)
    assert np.abs(areas - exact).max() < 0.15 * exact.std() and np.corrcoef(areas, exact)[0, 1] > 0.999


def test_draws_are_common_to_all_models_of_a_split(world):
    first, second = (world.case(world.views(saw=saw, seed=7)) for saw in (0.2, 0.6))
    one, other = weights(first.reference, "aa"), weights(second.reference, "aa")
    for field in fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))
    assert (weights(first.reference, "bb").forget != one.forget).any()
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
    low, high = interval(draws_of(case))
    assert low < float(parts(case).score) < high and 0.15 < high - low < 0.7
    wide = type(world)({"forget": 960, "retain": 600, "test": 2000}, seed=0)
    big = wide.case(wide.views(saw=0.5, seed=51))
    narrow_low, narrow_high = interval(draws_of(big))
    assert narrow_high - narrow_low < (high - low) / 2


def test_draws_are_paired_between_models(world, surer):
    """Two models that are nearly the same differ by far less than either varies."""
    model = world.views(saw=0.5, seed=51)
    first, second = (draws_of(world.case(one)) for one in (model, surer(model, forget=0.2)))
    assert 0 < np.std(first - second) < 0.5 * np.std(first)


def test_the_interval_holds_95_percent_of_the_draws():
    assert interval(np.linspace(0, 1, 2001)) == pytest.approx((0.025, 0.975))


def test_draws_without_signal_count_as_0_and_more_than_5_percent_are_refused(world, monkeypatch):
    def parts_of(self, model):
        row = np.full(len(self.weights.forget), 0.25)
        row[:lost] = np.nan
        return Parts(row, row, row, np.zeros_like(row))

    monkeypatch.setattr(WeightedReference, "parts", parts_of)
    case, lost = world.case(world.bases()[0]), 5
    found = bootstrap(case.evidence, case.reference, "aa", 100)
    assert found.draws.tolist() == [0] * 5 + [0.75] * 95 and found.lost == 5
    lost = 6
    with pytest.raises(NoSignal, match="no signal in 6 of 100 bootstrap draws, more than 5%"):
        bootstrap(case.evidence, case.reference, "aa", 100)


def test_a_task_of_few_noisy_rows_has_no_interval(world):
    few = type(world)({"forget": 12, "retain": 50, "test": 40}, seed=2, center=3.4, spread=1.2)
    with pytest.raises(NoSignal, match="of 2000 bootstrap draws"):
        draws_of(few.case(few.views(saw=0.5, seed=51)))
