import numpy as np
import pytest
from scipy.stats import kendalltau

from mubench.trainers.metrics.rank_correlation import kendall_tau


def test_it_is_scipys_tau_b_on_every_resample_with_ties():
    generator = np.random.default_rng(3)
    first, second = generator.integers(0, 6, size=(2, 20)).astype(float)
    places = [np.arange(20), *generator.integers(0, 20, size=(30, 20))]
    counts = np.stack([np.bincount(one, minlength=20) for one in places]).astype(float)
    expected = [kendalltau(first[one], second[one]).statistic for one in places]
    np.testing.assert_allclose(kendall_tau(first, second, counts), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("first", "expected"), [([1, 2, 3], 1), ([3, 2, 1], -1), ([1, 1, 1], np.nan)])
def test_order_reversed_order_and_a_constant(first, expected):
    found = kendall_tau(np.array(first, dtype=float), np.array([0.1, 0.2, 0.5]), np.ones((1, 3)))
    np.testing.assert_allclose(found, [expected])
