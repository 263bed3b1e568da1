"""Metrics of models that write or generate images: worked values, and agreement with the libraries that have them."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import hmean, ks_2samp
from sklearn.metrics import roc_auc_score

from mubench.hub_builders.tasks import TASKS
from mubench.trainers.inference.answers import Answers
from mubench.trainers.inference.image_outputs import NOISE_LEVELS, ImageOutputs
from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.inference.token_outputs import TokenOutputs
from mubench.trainers.metrics import METRICS, Case
from mubench.trainers.metrics.frechet import frechet_distance
from mubench.trainers.metrics.leak import expected_best
from mubench.trainers.metrics.memorisation import exact_memorisation, extraction_strength, lowest_mean, min_k
from mubench.trainers.metrics.rouge import longest_common_subsequence, rouge_l_recall
from mubench.trainers.metrics.truth_ratio import forget_form, log_truth_ratio, utility_form

END = 0
WRITTEN = (
    "probability", "truth_ratio", "forget_quality", "rouge_l", "exact_memorisation", "extraction_strength", "min_k",
    "min_k_plus_plus", "priv_leak", "leak_at_4",
)  # fmt: skip


def written(correct, seed=0):
    """Return outputs whose tokens are right as given, each row with an end token, and random numbers otherwise."""
    rng = np.random.default_rng(seed)
    lengths = np.array([len(row) for row in correct])
    count = int(lengths.sum())
    token_id = rng.integers(1, 9, count).astype(np.int32)
    token_id[np.cumsum(lengths) - 1] = END
    logprob = -rng.random(count).astype(np.float32)
    moments = {"token_mean": -1 - rng.random(count), "token_std": 0.5 + rng.random(count)}
    n = len(correct)
    answers = Answers(
        generated=np.array(["The cat sat"] * n, dtype=object),
        reference=np.array(["the cat sat down"] * n, dtype=object),
        group=np.array([""] * n, dtype=object),
        paraphrase_loss=rng.random(n),
        perturbed_losses=rng.random((n, 3)),
        option_losses=1 + rng.random((n, 4)),
        sampled=np.array([["The cat"] * 6 + ["a dog"] * 6] * n, dtype=object),
    )
    return TokenOutputs(
        np.array([f"row-{i}" for i in range(n)]), lengths, token_id, logprob, np.concatenate(correct).astype(bool),
        np.zeros((count, 1), np.int32), np.zeros((count, 1), np.float32), answers=answers,
        **{name: values.astype(np.float32) for name, values in moments.items()},
    )  # fmt: skip


def split(seed, rows=12):
    rng = np.random.default_rng(seed)
    return written([rng.random(rng.integers(2, 7)) > 0.4 for _ in range(rows)], seed)


def case(seed=0, retrained=2, **changes):
    def model(own):
        return {name: replace(split(own + i), **changes) for i, name in enumerate(("forget", "retain", "test", "ood"))}

    return Case(model(seed), [model(100 * k) for k in range(1, retrained + 1)], [], 0.1)


@pytest.mark.parametrize(
    ("text", "reference", "recall"),
    [
        ("The cat sat on the mat.", "the cat sat on the mat", 1.0),
        ("a dog", "the cat", 0.0),
        ("police kill the gunman", "police killed the gunman", 3 / 4),  # the example of the ROUGE paper
        ("the gunman kill police", "police killed the gunman", 2 / 4),
        ("It's 1-2!", "it s 1 2", 1.0),
        ("", "word", 0.0),
        ("word", "...", 0.0),
    ],
)
def test_rouge_l_recall_has_its_known_values(text, reference, recall):
    assert rouge_l_recall(text, reference) == pytest.approx(recall, abs=1e-12)


def test_the_longest_common_subsequence_is_that_of_the_plain_recursion():
    rng = np.random.default_rng(0)
    for _ in range(50):
        first, second = (list(map(str, rng.integers(0, 5, rng.integers(0, 80)))) for _ in range(2))
        table = np.zeros((len(first) + 1, len(second) + 1), dtype=int)
        for i, one in enumerate(first):
            for j, other in enumerate(second):
                table[i + 1, j + 1] = table[i, j] + 1 if one == other else max(table[i, j + 1], table[i + 1, j])
        assert longest_common_subsequence(first, second) == table[-1, -1]


@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_the_expected_best_of_k_scores_is_the_mean_maximum_over_all_subsets(k):
    scores = np.random.default_rng(k).random(7).round(1)  # some are equal
    every = [max(subset) for subset in combinations(scores, k)]
    assert expected_best(scores, k) == pytest.approx(np.mean(every), abs=1e-12)
    assert expected_best(scores, 1) == pytest.approx(scores.mean()) and expected_best(scores, 7) == scores.max()
    with pytest.raises(ValueError, match=r"^expected 1 to 7 samples as k, got 8$"):
        expected_best(scores, 8)


def test_leak_at_4_reads_rows_with_4_sampled_texts_or_more():
    one, metric = case(), METRICS["leak_at_4"]
    # 6 of 12 texts hold 2 of the 4 words, the others none: that 4 drawn texts are of the latter is C(6, 4) / C(12, 4)
    assert metric.compute(one) == pytest.approx(0.5 * (1 - math.comb(6, 4) / math.comb(12, 4)))
    forget = one.model["forget"]
    sampled = forget.answers.sampled.copy()
    sampled[1:], sampled[1, 8:], sampled[2, :3] = None, "the cat sat down", "the cat sat down"
    few = replace(forget, answers=replace(forget.answers, sampled=sampled))
    assert metric.rows(few) == 2
    leaks = [metric.compute(one), metric.compute(Case({"forget": few}, [], [], 0.1))]
    assert leaks[1] == pytest.approx((leaks[0] + 1) / 2)


def test_the_truth_ratio_is_the_geometric_mean_of_wrong_answers_over_the_paraphrase():
    one = split(1, rows=2)
    answers = replace(
        one.answers, paraphrase_loss=np.array([1.0, np.nan]), perturbed_losses=np.array([[2.0, 1.0], [3.0, np.nan]])
    )
    log_ratio = log_truth_ratio(replace(one, answers=answers))
    wrong = math.sqrt(math.exp(-2.0) * math.exp(-1.0)) / math.exp(-1.0)
    assert np.exp(log_ratio).tolist() == pytest.approx([wrong, math.exp(-3.0) / one.true_probability[1]])
    equal = replace(one.answers, paraphrase_loss=np.ones(2), perturbed_losses=np.ones((2, 3)))
    ratios = log_truth_ratio(replace(one, answers=equal))
    assert forget_form(ratios) == 1 and utility_form(ratios) == 0  # equal losses: R = 1
    assert forget_form(np.log([2.0])) == forget_form(np.log([0.5])) == pytest.approx(0.5)
    assert utility_form(np.log([2.0, 0.25])) == pytest.approx((0 + 0.75) / 2)


def test_forget_quality_is_scipys_p_value_and_1_for_the_same_model():
    one = case()
    retrained = log_truth_ratio(one.retrained[0]["forget"])
    p = [ks_2samp(np.exp(log_truth_ratio(one.model["forget"])), np.exp(log_truth_ratio(r["forget"]))).pvalue
         for r in one.retrained]  # fmt: skip
    assert METRICS["forget_quality"].compute(one) == pytest.approx(np.median(p), rel=1e-6)
    assert METRICS["forget_quality_log10"].compute(one) == pytest.approx(math.log10(np.median(p)), rel=1e-6)
    same = Case(one.model, [one.model], [], 0.1)
    assert METRICS["forget_quality"].compute(same) == 1
    assert ks_2samp(retrained, -retrained).pvalue == pytest.approx(ks_2samp(-retrained, retrained).pvalue)


def test_model_utility_is_the_harmonic_mean_of_nine_values_by_hand():
    model = {"retain": split(1), "ood": split(2)}
    groups = np.array(["real_authors"] * 5 + ["world_facts"] * 7, dtype=object)
    model["ood"] = replace(model["ood"], answers=replace(model["ood"].answers, group=groups))
    ratios = log_truth_ratio(model["ood"])
    options = model["ood"].true_probability / np.exp(-model["ood"].answers.option_losses).sum(axis=1)
    values = [model["retain"].true_probability.mean(), 0.75, utility_form(log_truth_ratio(model["retain"]))]
    for rows in (slice(0, 5), slice(5, 12)):
        values += [min(options[rows].mean(), 1), 0.75, utility_form(ratios[rows])]
    assert METRICS["model_utility"].compute(Case(model, [], [], 0.1)) == pytest.approx(hmean(values), rel=1e-9)


@pytest.mark.parametrize(
    ("correct", "exact", "strength"),
    [
        ([1, 1, 1, 1, 1], 1, 1),
        ([0, 0, 0, 0, 1], 0, 0),  # the end token alone
        ([1, 0, 1, 1, 1], 3 / 4, 1 - 2 / 4),
        ([1, 1, 1, 0, 1], 3 / 4, 0),
    ],
)
def test_memorisation_leaves_the_end_token_out(correct, exact, strength):
    one = written([np.array(correct)])
    assert exact_memorisation(one) == pytest.approx(exact) and extraction_strength(one) == pytest.approx(strength)
    both = written([np.array(correct), np.array([1, 1])])
    assert exact_memorisation(both) == pytest.approx((exact + 1) / 2)
    assert extraction_strength(both) == pytest.approx((strength + 1) / 2)


def test_min_k_reads_the_lowest_tokens_of_every_row_and_its_area_is_sklearns():
    values = np.array([-1.0, -5, -3, -2, -4, -7, -6])
    assert lowest_mean(values, np.array([5, 2]), 0.4).tolist() == [-4.5, -7]
    one = case()
    labels = np.r_[np.ones(12), np.zeros(12)]
    both = np.concatenate([min_k(one.model[name]) for name in ("forget", "test")])
    assert METRICS["min_k"].compute(one) == pytest.approx(roc_auc_score(labels, both), abs=1e-6)
    plus = []
    for name in ("forget", "test"):
        o = one.model[name]
        z = np.split((o.token_logprob - o.token_mean) / o.token_std, np.cumsum(o.lengths)[:-1])
        plus += [np.sort(row)[: max(1, int(0.2 * len(row)))].mean() for row in z]
    assert METRICS["min_k_plus_plus"].compute(one) == pytest.approx(roc_auc_score(labels, plus), abs=1e-6)


def test_priv_leak_is_0_as_retrained_and_minus_100_where_forget_rows_stand_out():
    one = case()
    assert METRICS["priv_leak"].compute(Case(one.model, [one.model], [], 0.1)) == 0
    sure = replace(one.model["forget"], token_logprob=np.zeros_like(one.model["forget"].token_logprob))
    assert METRICS["priv_leak"].compute(Case({**one.model, "forget": sure}, one.retrained, [], 0.1)) == -100


def test_the_frechet_distance_is_that_of_a_matrix_root_and_0_for_equal_features():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(40, 6)), 0.5 + 2 * rng.normal(size=(50, 6))
    covariance = [np.cov(one, rowvar=False) for one in (first, second)]
    expected = np.square(first.mean(0) - second.mean(0)).sum()
    expected += np.trace(covariance[0] + covariance[1] - 2 * sqrtm(covariance[0] @ covariance[1]).real)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(first, first + 2) == pytest.approx(6 * 4)


def test_the_distance_of_images_reads_the_chosen_rows():
    rng = np.random.default_rng(1)
    ids = np.array([f"r{i}" for i in range(6)])
    classes = ClassOutputs(ids, np.zeros((6, 2), np.float32), np.zeros(6, np.int64))
    features = np.full(6, None, dtype=object)
    for row in (0, 2, 3, 5):
        features[row] = rng.normal(size=(2, 3)).astype(np.float32)
    images = ImageOutputs(classes, np.ones((6, NOISE_LEVELS), np.float32), features)
    metric, one = METRICS["frechet_classifier"], Case({"test": images}, [], [], 0.5)
    pairs = np.stack([features[row] for row in (0, 2, 3, 5)]).astype(float)
    assert metric.compute(one) == pytest.approx(frechet_distance(pairs[:, 0], pairs[:, 1]))
    assert metric.rows(images) == 4 and one.has(metric)
    assert not Case({"test": replace(images, features=None)}, [], [], 0.5).has(metric)


def test_metrics_of_generated_texts_are_absent_where_a_model_or_a_reference_stores_none():
    one, older = case(), case(answers=None, token_mean=None, token_std=None)
    needs_answers = {"truth_ratio", "forget_quality", "rouge_l", "min_k_plus_plus", "leak_at_4"}
    for name in WRITTEN:
        metric = METRICS[name]
        low, high = metric.range
        assert one.has(metric) and low <= metric.compute(one) <= high, name
        assert older.has(metric) == (name not in needs_answers), name
        assert Case(one.model, older.retrained, [], 0.1).has(metric) == (name not in needs_answers), name


def test_every_metric_that_a_task_reports_is_in_the_table():
    reported = {name for task in TASKS.values() for name in task.reported}
    assert reported and reported <= set(METRICS), reported - set(METRICS)
