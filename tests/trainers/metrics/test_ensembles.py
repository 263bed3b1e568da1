"""Metrics over pools of models, against plain implementations and worked values."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import entropy, norm

from mubench.trainers.metrics import ENSEMBLE_METRICS
from mubench.trainers.metrics.ensembles import Pool, Pools
from mubench.trainers.metrics.forgetting_score import CAP, epsilon, forgetting_quality, row_quality
from mubench.trainers.metrics.klom import klom
from mubench.trainers.metrics.likelihood_ratio import likelihood_ratio_accuracy


def normal(models, rows, *, shift=0.0, seed=0):
    return np.random.default_rng(seed).normal(shift, 1, (models, rows))


def plain_klom(u, r, *, drop):
    u, r = np.clip(u, -100, 100), np.clip(r, -100, 100)
    low, high = min(u.min(), r.min()), max(u.max(), r.max())
    edges = np.linspace(low, high if high > low else low + 1, 21)

    def shares(values):
        if drop:
            found = np.digitize(values, edges)
            counts = np.array([(found == i).sum() for i in range(1, 21)])
        else:
            counts = np.histogram(values, edges)[0]
        return counts / max(counts.sum(), 1)

    p, q = shares(u), shares(r)
    where = p > 0
    return float((p[where] * np.log(p[where] / np.maximum(q[where], 1e-5))).sum())


@pytest.mark.parametrize("drop", [False, True])
def test_klom_equals_a_plain_implementation(drop):
    u, r = normal(30, 50, shift=0.7), 1.5 * normal(25, 50, seed=1)
    u[:, 3], r[:, 4] = 2.0, 500.0  # constant, and clipped
    u[:, 5], r[:, 5] = np.arange(30) % 21, 20 - np.arange(25) % 21  # on the edges
    expected = [plain_klom(u[:, i], r[:, i], drop=drop) for i in range(50)]
    np.testing.assert_allclose(klom(u, r, drop_largest=drop), expected, atol=1e-9)


def test_klom_agrees_with_scipy_where_no_floor_matters():
    u, r = normal(4000, 3, shift=0.2), 1.2 * normal(4000, 3, seed=1)
    for i in range(3):
        edges = np.linspace(*(f(np.r_[u[:, i], r[:, i]]) for f in (np.min, np.max)), 21)
        p, q = (np.histogram(one[:, i], edges)[0] / 4000 for one in (u, r))
        inside = p > 0
        assert (q[inside] > 0).all() or i
        if (q[inside] > 0).all():
            # scipy normalises both over the bins that it is given
            expected = entropy(p[inside], q[inside]) - np.log(q[inside].sum())
            assert klom(u, r)[i] == pytest.approx(expected, abs=1e-6)


def test_klom_is_0_for_equal_pools_and_at_most_the_floor():
    u = normal(40, 20)
    assert klom(u, u).max() == 0 and klom(u, u, drop_largest=True).max() == 0
    flat = np.zeros((40, 5))
    assert klom(flat, flat).max() == 0
    assert klom(flat, flat + 50) == pytest.approx(np.full(5, -np.log(1e-5)))
    assert klom(flat + 50, flat) == pytest.approx(np.full(5, -np.log(1e-5)))
    assert klom(flat + 50, flat, drop_largest=True).max() == 0  # why it is not the default


def plain_u_lira(u, r):
    right = []
    for own, other in ((u, r), (r, u)):
        for model in range(len(own)):
            left = np.delete(own, model, axis=0)
            for row in range(u.shape[1]):
                x = own[model, row]
                mine = norm.logpdf(x, left[:, row].mean(), left[:, row].std())
                theirs = norm.logpdf(x, other[:, row].mean(), other[:, row].std())
                right.append((len(own), float(mine > theirs)))
    return np.mean([np.mean([hit for size, hit in right[: u.size]]), np.mean([hit for size, hit in right[u.size :]])])


def test_u_lira_equals_a_plain_implementation():
    u, r = normal(9, 12, shift=0.8), 1.3 * normal(11, 12, seed=1)
    assert likelihood_ratio_accuracy(u, r) == pytest.approx(plain_u_lira(u, r), abs=1e-9)


def test_u_lira_is_a_half_for_equal_distributions_and_1_for_separable_ones():
    u, r = normal(16, 400), normal(16, 400, seed=1)
    assert likelihood_ratio_accuracy(u, r) == pytest.approx(0.5, abs=0.01)
    assert likelihood_ratio_accuracy(u, r + 50) == 1
    assert likelihood_ratio_accuracy(np.zeros((9, 4)), np.ones((9, 4))) == 1  # constant models


def plain_epsilon(u, r, *, two=True):
    """The authors' rules with dense tables of decisions."""
    rates = []
    p, n = (r, u) if np.median(r) > np.median(u) else (u, r)
    low, high = min(u.min(), r.min()), max(u.max(), r.max())
    t = np.linspace(low, high, max(1, int(np.ceil((high - low) * 100))))
    rates.append(((n[:, None] >= t).mean(axis=0), (p[:, None] < t).mean(axis=0)))
    if two:
        p, n = (u, r) if np.ptp(u) <= np.ptp(r) else (r, u)
        right = np.linspace(p.max() - 2, p.max() + 2, 400)
        left = np.concatenate([np.linspace(t - np.ptp(p) - 2, t - np.ptp(p) + 2, 400) for t in right])
        right = np.repeat(right, 400)
        guess = [(left <= one[:, None]) & (one[:, None] <= right) for one in (p, n)]
        rates.append((guess[1].mean(axis=0), (~guess[0]).mean(axis=0)))
    fpr, fnr = (np.concatenate(one) for one in zip(*rates, strict=True))
    if ((fpr == 0) & (fnr == 0)).any():
        return CAP
    use = (fpr > 0) & (fnr > 0)
    with np.errstate(invalid="ignore"):
        found = [np.log(1 - 1e-5 - fpr[use]) - np.log(fnr[use]), np.log(1 - 1e-5 - fnr[use]) - np.log(fpr[use])]
    return min(CAP, max(0, np.nanmax(found)))


@pytest.mark.parametrize("two", [False, True])
def test_epsilon_equals_that_of_dense_tables(two):
    for seed in range(6):
        u, r = normal(12, 1, shift=0.3 * seed, seed=seed)[:, 0], (0.4 + 0.3 * seed) * normal(15, 1, seed=99)[:, 0]
        assert epsilon(u, r, two_thresholds=two) == pytest.approx(plain_epsilon(u, r, two=two), abs=1e-9)


def test_epsilon_of_pools_that_need_no_attack():
    u = normal(20, 1)[:, 0]
    assert epsilon(u, u + 100) == CAP  # separated
    assert epsilon(np.full(20, 0.1) + 1e-6 * u, u) == CAP  # collapsed
    assert epsilon(np.zeros(20), np.zeros(20)) == 0 and epsilon(np.zeros(20), np.ones(20)) == CAP


def test_quality_halves_with_every_bin_up_to_what_the_models_can_show():
    assert [row_quality(e, 33) for e in (0, 0.49, 0.5, 1.2, 3.99)] == [1, 1, 0.5, 0.25, 2.0**-7]
    assert row_quality(4, 33) == 0 and row_quality(4, 200) == 2.0**-8  # ceil(ln 32) = 4, ceil(ln 199) = 6
    assert row_quality(0, 2) == 0


@pytest.mark.parametrize(("models", "expected"), [(32, 0.31), (128, 0.33), (512, 0.35)])
def test_equal_normal_distributions_have_the_known_quality(models, expected):
    u, r = normal(models, 400), normal(models, 400, seed=1)
    assert forgetting_quality(u, r, two_thresholds=False) == pytest.approx(expected, abs=0.04)
    few = u[:, :40], r[:, :40]
    assert forgetting_quality(*few) < forgetting_quality(*few, two_thresholds=False)
    assert forgetting_quality(u[:, :20], r[:, :20] + 100) == 0


def pool(world, saw, count, start):
    return Pool.of(world.views(saw=saw, seed=start + seed) for seed in range(count))


def test_ensemble_metrics_separate_retrained_models_from_base_models(world):
    retrained = pool(world, 0.0, 16, 0)
    equal = Pools(pool(world, 0.0, 16, 100), retrained)
    base = Pools(pool(world, 1.0, 16, 200), retrained)
    for name, metric in ENSEMBLE_METRICS.items():
        good, bad = metric.measure(equal), metric.measure(base)
        assert metric.range[0] <= min(good, bad) and max(good, bad) <= metric.range[1]
        if "forget" in metric.needs:
            assert (good > bad + 0.05) if metric.better == "higher" else (good < bad - 0.2), name
        else:  # both pools treat these rows alike
            assert good == pytest.approx(bad, rel=0.2)
    assert abs(ENSEMBLE_METRICS["u_lira"].measure(equal) - 0.5) < 0.05
    shares = [equal.unlearned.scores[split].mean() / retrained.scores[split].mean() for split in ("retain", "test")]
    ratio = ENSEMBLE_METRICS["neurips_score"].measure(equal) / ENSEMBLE_METRICS["neurips_forgetting"].measure(equal)
    assert ratio == pytest.approx(np.prod(shares))
    halved = klom(*base.margins("forget"))
    assert ENSEMBLE_METRICS["klom_forget"].measure(base) == halved.mean()
    assert ENSEMBLE_METRICS["klom_forget_p95"].measure(base) == np.percentile(halved, 95)


def test_too_few_models_missing_splits_and_other_rows_are_refused(world):
    few = pool(world, 0.0, 8, 0)
    with pytest.raises(ValueError, match="expected at least 9 unlearned and 9 retrained models, got 8 and 8"):
        ENSEMBLE_METRICS["u_lira"].measure(Pools(few, few))
    only = Pool.of({"test": world.views(saw=0.0, seed=seed)["test"]} for seed in range(16))
    with pytest.raises(ValueError, match="expected outputs of retain, got none of retain"):
        ENSEMBLE_METRICS["klom_retain"].measure(Pools(only, only))
    with pytest.raises(ValueError, match="expected outputs of test, got forget, retain, test"):
        Pools(few, only)
    with pytest.raises(ValueError, match="expected at least 1 model in a pool, got 0"):
        Pool.of([])
    views = world.views(saw=0.0, seed=0)
    other = {**views, "forget": views["forget"].take(np.arange(60)[::-1])}
    with pytest.raises(ValueError, match="expected all models to have the same rows of 'forget', got others"):
        Pool.of([views, other])


EASYDUB = "MUBENCH_EASYDUB"
NO_EASYDUB = f"{EASYDUB} names no copy of the dataset easydub/EasyDUB-dataset"


@pytest.mark.nightly
@pytest.mark.skipif(EASYDUB not in os.environ, reason=NO_EASYDUB)
@pytest.mark.parametrize(("split", "printed"), [("retain", 0.3191), ("forget", 9.2647), ("val", 0.2639)])
def test_klom_reproduces_what_easydub_prints(split, printed):
    """The base models against oracles of forget set 2, 100 models each, as `eval_pretrain.py` there has them."""
    root = Path(os.environ[EASYDUB])
    margins = root / "margins" / "cifar10"
    forgotten = np.load(root / "forget_sets" / "cifar10" / "forget_set_2.npy").astype(np.int64)

    def stack(folder):
        return np.stack([np.load(folder / "resnet9" / f"id_{model}_epoch_23.npy") for model in range(100)])

    retrained = stack(margins / "oracle" / "forget_2" / split)
    base = stack(margins / "pretrain" / ("forget_2" if split == "forget" else split))
    if base.shape[1] > retrained.shape[1]:
        base = np.delete(base, forgotten, axis=1)
    assert np.percentile(klom(base, retrained, drop_largest=True), 95) == pytest.approx(printed, abs=5e-5)
