"""Differences of lines beside the spread over their seeds, against scipy."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_ind

from mubench.cards.leaderboard.entries import make_entry
from mubench.cards.report.seed_differences import Difference, compare_lines, compare_scores, seed_values, subtract
from mubench.trainers.evaluation.result import Value

FIRST, SECOND = np.array([0.1, 0.13, 0.11]), np.array([0.05, 0.06, 0.02, 0.04, 0.03])


@pytest.mark.parametrize("second", [SECOND, 0.05])
def test_the_interval_is_welchs(second):
    known = ttest_1samp(FIRST, second) if isinstance(second, float) else ttest_ind(FIRST, second, equal_var=False)
    low, high = known.confidence_interval(0.95)
    shift = 0.0 if not isinstance(second, float) else second  # scipy's is about the mean
    found = subtract(FIRST, second)
    assert (found.low, found.high) == (pytest.approx(low - shift), pytest.approx(high - shift))
    assert found.value == pytest.approx(FIRST.mean() - np.mean(second))


def test_lines_from_the_same_base_models_are_paired_and_others_are_not(new_row):
    def line(method, values):
        rows = [new_row(method, base_seed=seed, seed=0, control=method == "retrain") for seed in range(len(values))]
        values = [{"ood_score": Value(value=value, n=9)} for value in values]
        return make_entry(
            method, [row.model_copy(update={"metrics": one}) for row, one in zip(rows, values, strict=True)]
        )

    first, second = [0.1, 0.5, 0.9], [0.0, 0.41, 0.79]  # each far apart, and differences that are alike
    paired = compare_lines(line("scrub", first), line("salun", second), "ood_score")
    low, high = ttest_1samp(np.subtract(first, second), 0.0).confidence_interval(0.95)
    assert (paired.low, paired.high) == (pytest.approx(low), pytest.approx(high)) and low > 0
    apart = compare_lines(line("scrub", first), line("retrain", second), "ood_score")
    low, high = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert (apart.low, apart.high) == (pytest.approx(low), pytest.approx(high)) and low < 0


def test_a_difference_over_some_of_the_base_models_names_their_number(new_row):
    def line(method, seeds):
        rows = [new_row(method, base_seed=seed, seed=0) for seed in seeds]
        values = [{"ood_score": Value(value=0.1 * seed, n=9)} for seed in seeds]
        return make_entry(
            method, [row.model_copy(update={"metrics": one}) for row, one in zip(rows, values, strict=True)]
        )

    found = compare_lines(line("scrub", (0, 1, 2)), line("salun", (0, 1)), "ood_score")
    assert str(found) == "0.000 (the same in all seeds) over 2 shared base models"
    assert compare_lines(line("scrub", (0, 1)), line("salun", (0, 1)), "ood_score").pairs is None


def test_scores_are_compared_draw_by_draw(new_row):
    first, second = (
        make_entry(name, [new_row(name, score=score)]) for name, score in (("scrub", 0.6), ("salun", 0.5))
    )
    draws = np.random.default_rng(0).normal(0.5, 0.2, 2000)
    first, second = (dataclasses.replace(one, draws=draws + more) for one, more in ((first, 0.1), (second, 0.0)))
    paired = compare_scores(first, second)
    assert (paired.low, paired.high) == (pytest.approx(0.1), pytest.approx(0.1))
    shuffled = dataclasses.replace(second, draws=np.random.default_rng(1).permutation(draws))
    assert compare_scores(first, shuffled).low < -0.2


def test_no_spread_gives_a_point_and_one_seed_no_interval():
    assert subtract(np.array([0.5, 0.5]), np.array([0.25, 0.25])) == Difference(0.25, 0.25, 0.25)
    assert str(Difference(0.25, 0.25, 0.25)) == "0.250 (the same in all seeds)"
    one = subtract(FIRST, np.array([0.01]))
    assert (one.low, one.high) == (-math.inf, math.inf)
    assert str(one) == "0.103 (one seed)" and str(Difference(0.25, 0.2, 0.3)) == "0.250 (0.200 to 0.300)"


def test_runs_from_one_base_model_are_one_value_and_runs_without_the_metric_none(new_row):
    def run(base_seed, seed, value):
        row = new_row("scrub", base_seed=base_seed, seed=seed)
        metrics = {} if value is None else {"ood_score": Value(value=value, n=9)}
        return row.model_copy(update={"metrics": {**row.metrics, **metrics}})

    entry = make_entry("scrub", [run(0, 0, 0.2), run(0, 1, 0.4), run(1, 0, 0.5), run(1, 1, None)])
    assert seed_values(entry, "ood_score") == pytest.approx([0.3, 0.5])
    assert len(seed_values(entry, "rouge_l")) == 0
