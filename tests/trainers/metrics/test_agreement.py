"""Metrics agree with rouge-score, torchmetrics, scikit-learn and scipy to 1e-6 wherever these define them."""

import numpy as np
import pytest
import torch
from rouge_score.rouge_scorer import RougeScorer
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from sklearn.metrics import accuracy_score, f1_score, log_loss, pairwise, roc_auc_score
from torchmetrics.functional import classification, kl_divergence
from torchmetrics.functional.regression import jensen_shannon_divergence
from torchmetrics.functional.text import rouge_score

from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.metrics import METRICS, Case
from mubench.trainers.metrics.attacks import auc
from mubench.trainers.metrics.divergence import activation, agreement, js, kl
from mubench.trainers.metrics.rouge import rouge_l_recall, words
from mubench.trainers.metrics.row_values import loss

CLASSES, ROWS = 5, 40
WITHIN = {"rel": 1e-6, "abs": 1e-6}
SEEDS = pytest.mark.parametrize("seed", range(3))


def outputs(seed, classes=CLASSES):
    """Random logits over classes, of which the last one is neither true nor predicted."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=3, size=(ROWS, classes))
    logits[:, -1] -= 50
    labels = np.where(rng.random(ROWS) < 0.5, logits.argmax(axis=1), rng.integers(0, classes - 1, ROWS))
    return ClassOutputs(np.array([f"r{i}" for i in range(ROWS)]), logits.astype(np.float32), labels)


def text(rng):
    """Return a random text with capitals, signs, digits and letters that are no words of ROUGE."""
    parts = ["the", "The", "cat's", "sat", "on-the", "mat", "running", "runs", "é", "naïve", "42", "3.5", "...", "İ"]
    return " ".join(rng.choice(parts, rng.integers(0, 25)))


@SEEDS
def test_rouge_l_is_that_of_rouge_score_and_torchmetrics_without_stemming(seed):
    """With stemming, as in the public code of TOFU, ``running`` and ``runs`` are one word; here they are two."""
    rng, scorer = np.random.default_rng(seed), RougeScorer(["rougeL"], use_stemmer=False)
    for _ in range(60):
        written, reference = text(rng), text(rng)
        found = rouge_l_recall(written, reference)
        assert found == pytest.approx(scorer.score(reference, written)["rougeL"].recall, **WITHIN)
        if words(written) and words(reference):  # torchmetrics counts an empty word in a text without any
            other = rouge_score(written, reference, rouge_keys="rougeL")["rougeL_recall"]
            assert found == pytest.approx(float(other), **WITHIN)
    stemmed = RougeScorer(["rougeL"], use_stemmer=True).score("he runs", "he running")["rougeL"].recall
    assert (stemmed, rouge_l_recall("he running", "he runs")) == (1, 0.5)


@SEEDS
def test_accuracy_and_macro_f1_are_those_of_scikit_learn_and_torchmetrics(seed):
    """F1 is averaged over classes that are true or predicted somewhere, which is the default of both libraries."""
    one = outputs(seed)
    case, pair = Case({"test": one}, [], [], 0.5), (one.labels, one.predictions)
    tensors, options = [torch.from_numpy(each) for each in pair[::-1]], {"num_classes": CLASSES}
    assert METRICS["test_score"].compute(case) == pytest.approx(accuracy_score(*pair), **WITHIN)
    assert METRICS["test_score"].compute(case) == pytest.approx(
        float(classification.multiclass_accuracy(*tensors, average="micro", **options)), **WITHIN
    )
    f1 = METRICS["test_macro_f1"].compute(case)
    assert len({*one.labels, *one.predictions}) == CLASSES - 1
    assert f1 == pytest.approx(f1_score(*pair, average="macro"), **WITHIN)
    assert f1 == pytest.approx(
        float(classification.multiclass_f1_score(*tensors, average="macro", **options)), **WITHIN
    )


@SEEDS
def test_the_auc_is_that_of_scikit_learn_and_torchmetrics(seed):
    rng = np.random.default_rng(seed)
    forget, test = rng.random(30).round(1), rng.random(50).round(1) ** 2  # many are equal
    values, member = np.concatenate([forget, test]), np.repeat([1, 0], [30, 50])
    assert auc(forget, test) == pytest.approx(roc_auc_score(member, values), **WITHIN)
    area = classification.binary_auroc(torch.from_numpy(values), torch.from_numpy(member))
    assert auc(forget, test) == pytest.approx(float(area), **WITHIN)


@SEEDS
def test_distances_of_distributions_are_those_of_scipy_and_torchmetrics(seed):
    """KL is that of the model from retrained: the retrained distribution comes first."""
    u, r = (outputs(2 * seed + i) for i in range(2))
    log_u, log_r, p_u, p_r = u.log_probabilities, r.log_probabilities, u.probabilities, r.probabilities
    tensors = torch.from_numpy(p_u), torch.from_numpy(p_r)
    np.testing.assert_allclose(kl(log_u, log_r), entropy(p_r, p_u, axis=1), atol=1e-6)
    np.testing.assert_allclose(kl(log_u, log_r), kl_divergence(*tensors[::-1], reduction="none"), atol=1e-6)
    np.testing.assert_allclose(js(log_u, log_r), jensenshannon(p_u, p_r, axis=1) ** 2, atol=1e-6)
    np.testing.assert_allclose(js(log_u, log_r), jensen_shannon_divergence(*tensors, reduction="none"), atol=1e-6)
    np.testing.assert_allclose(activation(log_u, log_r), pairwise.paired_euclidean_distances(p_u, p_r), atol=1e-6)
    assert agreement(log_u, log_r).mean() == accuracy_score(r.predictions, u.predictions)
    zrf = METRICS["zrf"].compute(Case({"forget": u}, [], [], 0.5, random=r))
    assert zrf == pytest.approx(1 - np.mean(jensenshannon(p_u, p_r, axis=1) ** 2), **WITHIN)


@SEEDS
def test_loss_and_entropy_are_those_of_scikit_learn_and_scipy(seed):
    """Losses are in nats, and at most 100 in attacks."""
    one = outputs(seed)
    expected = log_loss(one.labels, one.probabilities, labels=range(CLASSES))
    assert loss(one).mean() == pytest.approx(expected, **WITHIN)
    np.testing.assert_allclose(one.entropy, entropy(one.probabilities, axis=1), atol=1e-6)
