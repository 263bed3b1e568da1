"""Attacks as papers run them, against scikit-learn, naive loops, and values that can be worked out by hand."""

import hashlib
import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_curve
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.svm import SVC

from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.inference.token_outputs import TokenOutputs
from mubench.trainers.metrics import METRICS, Case, NotDefined
from mubench.trainers.metrics.attacks import true_positives_at
from mubench.trainers.metrics.classical_attacks import (
    MAX_SVC_ROWS,
    best_threshold,
    share_taken_for_unseen,
)
from mubench.trainers.metrics.row_values import ROW_VALUES, first_by_hash, hash_ranks, loss, modified_entropy


def outputs(p, labels=None, prefix="r"):
    p = np.asarray(p, dtype=float)
    labels = np.zeros(len(p), dtype=np.int64) if labels is None else np.asarray(labels)
    with np.errstate(divide="ignore"):
        logits = np.maximum(np.log(p), -80)
    return ClassOutputs(np.array([f"{prefix}{i}" for i in range(len(p))]), logits.astype(np.float32), labels)


def sure(confidences, prefix, labels=None):
    """Outputs over two classes with these probabilities of the true one."""
    confidences = np.asarray(confidences, dtype=float)
    labels = np.zeros(len(confidences), dtype=np.int64) if labels is None else np.asarray(labels)
    p = np.where(labels[:, None] == [0, 1], confidences[:, None], 1 - confidences[:, None])
    return outputs(p, labels, prefix)


def value(name, **splits):
    return METRICS[name].compute(Case(splits, [], [], 0.5))


@pytest.fixture(scope="module")
def case(world):
    return world.case(world.views(saw=0.5, seed=51))


@pytest.mark.parametrize("feature", ROW_VALUES)
def test_svc_equals_scikit_learns_on_single_rows(case, feature):
    forget, retain, test = (case.model[split] for split in ("forget", "retain", "test"))
    size = min(len(retain), len(test))
    member, other, target = (ROW_VALUES[feature](one) for one in (first_by_hash(retain, size), test, forget))
    machine = SVC(C=3, kernel="rbf", gamma="auto").fit(np.r_[member, other][:, None], np.repeat([1, 0], size))
    expected = 1 - machine.predict(target[:, None]).mean()
    assert METRICS[f"svc_{feature}"].compute(case) == pytest.approx(expected, abs=1e-6)
    # Rows of the test set as forget rows give the share of true negatives, retain rows that of false negatives.
    for rows, values in ((test, other), (retain, ROW_VALUES[feature](retain))):
        share = 1 - machine.predict(values[:, None]).mean()
        assert share_taken_for_unseen(feature, rows, retain, test) == pytest.approx(share, abs=1e-6)


def test_svc_takes_the_rows_with_the_smallest_hashes():
    generator = np.random.default_rng(0)
    retain, test = (sure(generator.beta(a, 1, MAX_SVC_ROWS + 60), name) for a, name in ((6, "a"), (3, "b")))
    forget = sure(generator.beta(4, 1, 30), "c")

    def head(rows):
        order = sorted(rows.ids.tolist(), key=lambda one: hashlib.sha256(f"attack:{one}".encode()).digest())
        return rows.select(order[:MAX_SVC_ROWS])

    whole = share_taken_for_unseen("confidence", forget, retain, test)
    assert whole == share_taken_for_unseen("confidence", forget, head(retain), head(test))
    assert sorted(hash_ranks(test).tolist()) == list(range(len(test)))


def test_modified_entropy_has_its_closed_form_values():
    p = np.array([[0.7, 0.2, 0.1]])
    expected = -0.3 * math.log(0.7) - 0.2 * math.log(0.8) - 0.1 * math.log(0.9)
    assert modified_entropy(outputs(p)) == pytest.approx([expected], abs=1e-6)
    right, wrong = modified_entropy(outputs([[1, 0, 0], [0, 1, 0]]))
    assert right == pytest.approx(0, abs=1e-12) and wrong == pytest.approx(-2 * math.log(1e-30), rel=1e-6)


def test_the_best_threshold_is_that_of_a_search_over_all_values():
    generator = np.random.default_rng(1)
    for _ in range(20):
        member, other = generator.integers(2, 12, 30).astype(float), generator.integers(0, 9, 17).astype(float)
        scores = {t: ((member >= t).mean() + (other < t).mean()) / 2 for t in np.r_[member, other]}
        assert scores[best_threshold(member, other)] == pytest.approx(max(scores.values()), abs=1e-12)
    assert best_threshold(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 3.0


@pytest.mark.parametrize(("name", "sign"), [("threshold_confidence", 1), ("threshold_modified_entropy", -1)])
def test_thresholds_equal_a_naive_attack_per_class(case, name, sign):
    forget, retain, test = (case.model[split] for split in ("forget", "retain", "test"))
    feature = name.removeprefix("threshold_")
    half = hash_ranks(test) % 2 == 0
    values = {split: sign * ROW_VALUES[feature](case.model[split]) for split in ("forget", "retain", "test")}
    guesses, truth = [], []
    for label in range(10):
        seen, drawn = values["retain"][retain.labels == label], values["test"][half & (test.labels == label)]
        candidates = np.sort(np.r_[seen, drawn])
        best = max(candidates, key=lambda t: (round((seen >= t).mean() + (drawn < t).mean(), 12), -t))
        for split, rows, member in (
            ("forget", forget.labels == label, 1),
            ("test", ~half & (test.labels == label), 0),
        ):
            guesses += (values[split][rows] >= best).tolist()
            truth += [member] * int(rows.sum())
    assert METRICS[name].compute(case) == pytest.approx(balanced_accuracy_score(truth, guesses), abs=1e-6)


def test_a_threshold_is_right_on_separable_rows_and_blind_on_equal_ones():
    generator = np.random.default_rng(2)
    known, unknown = generator.uniform(0.8, 0.9, (2, 400)), generator.uniform(0.1, 0.7, (2, 400))
    splits = {"retain": sure(known[0], "a"), "test": sure(unknown[0], "b")}
    assert value("threshold_confidence", forget=sure(known[0], "c"), **splits) == 1
    assert value("threshold_confidence", forget=sure(unknown[1], "c"), **splits) == pytest.approx(0.5, abs=0.05)


def test_a_class_without_retain_rows_has_the_threshold_of_all():
    splits = {
        "retain": sure([0.9, 0.8, 0.9, 0.8], "a", [0, 0, 0, 0]),
        "test": sure([0.3, 0.2, 0.4, 0.1], "b", [0, 0, 0, 0]),
        "forget": sure([0.85, 0.5], "c", [1, 1]),
    }
    assert value("threshold_confidence", **splits) == (1 / 2 + 1) / 2


def test_scrubs_attack_equals_scikit_learns(case):
    forget, test = case.model["forget"], case.model["test"]
    alike = test.take(np.flatnonzero(np.isin(test.labels, forget.labels)))
    x = np.r_[loss(first_by_hash(alike, 60)), loss(first_by_hash(forget, 60))][:, None]
    y = np.repeat([0, 1], 60)
    splits = StratifiedShuffleSplit(n_splits=5, test_size=0.1, random_state=0)
    scores = cross_val_score(LogisticRegression(), x, y, cv=splits)
    assert METRICS["scrub_mia"].compute(case) == pytest.approx(scores.mean(), abs=1e-6)


def test_scrubs_attack_is_certain_of_shifted_losses_in_either_direction():
    generator = np.random.default_rng(3)
    middle = generator.uniform(0.4, 0.6, (2, 200))
    test = sure(middle[0], "t")
    assert value("scrub_mia", forget=sure(np.full(200, 1 - 1e-9), "f"), test=test) == 1
    assert value("scrub_mia", forget=sure(np.full(200, 1e-9), "f"), test=test) == 1  # forgotten too well
    assert value("scrub_mia", forget=sure(middle[1], "f"), test=test) == pytest.approx(0.5, abs=0.15)


def test_scrubs_attack_takes_test_rows_of_the_forgotten_classes_and_needs_ten():
    generator = np.random.default_rng(4)
    p = generator.uniform(0.4, 0.6, 40)
    labels = np.repeat([0, 1], 20)
    forget = sure(np.full(20, 0.99), "f", np.zeros(20, dtype=int))
    others = sure(np.where(labels == 1, 0.99, p), "t", labels)  # rows of class 1 look like members
    assert value("scrub_mia", forget=forget, test=others) == 1
    with pytest.raises(NotDefined, match="expected 10 forget rows and as many test rows of their classes, got 9"):
        value("scrub_mia", forget=forget.take(np.arange(9)), test=others)


def test_loss_is_the_cross_entropy_up_to_100(case):
    rows = case.model["test"]
    expected = -rows.log_probabilities[np.arange(len(rows)), rows.labels]
    np.testing.assert_allclose(loss(rows), expected, atol=1e-9)
    far = ClassOutputs(np.array(["a"]), np.array([[-500.0, 0.0]], dtype=np.float32), np.array([0]))
    assert loss(far).tolist() == [100.0]


def test_the_entropy_attack_equals_scikit_learns(case):
    entropy = {split: case.model[split].entropy for split in ("forget", "retain", "test")}
    x, y = np.r_[entropy["test"], entropy["retain"]][:, None], np.repeat([0, 1], [397, 600])
    weights = np.where(y == 1, 1 / 600, 1 / 397) * len(y) / 2
    expected = LogisticRegression().fit(x, y, sample_weight=weights).predict(entropy["forget"][:, None]).mean()
    assert METRICS["entropy_mia"].compute(case) == pytest.approx(expected, abs=1e-6)


def test_true_positives_at_one_percent_equal_scikit_learns(case):
    forget, test = case.model["forget"].log_odds, case.model["test"].log_odds
    for a, b in ((forget, test), (np.round(forget), np.round(test)), (forget, test[:50])):
        fpr, tpr, _ = roc_curve(np.repeat([1, 0], [len(a), len(b)]), np.r_[a, b], drop_intermediate=False)
        assert true_positives_at(a, b, 0.01) == pytest.approx(tpr[fpr <= 0.01].max(), abs=1e-6)
    assert METRICS["tpr_at_1_fpr"].compute(case) == true_positives_at(forget, test, 0.01)
    ties = np.arange(200.0)
    assert true_positives_at(np.array([197.0, 198.0, 199.0]), ties, 0.01) == 2 / 3


def answers(count, prefix, seed):
    """A language model's outputs on rows of three answer tokens each."""
    generator = np.random.default_rng(seed)
    top = -np.sort(generator.exponential(1, (3 * count, 4)) + 0.2, axis=1).astype(np.float32)
    ids = np.array([f"{prefix}{i}" for i in range(count)])
    token = np.tile(np.arange(4, dtype=np.int32), (3 * count, 1))
    right = np.arange(3 * count) % 4 == 0
    return TokenOutputs(ids, np.full(count, 3), token[:, 0], -np.abs(top[:, 1]), right, token, top)


def test_attacks_on_tokens_are_those_without_a_distribution_over_classes():
    model = {split: answers(40, split, seed) for seed, split in enumerate(("forget", "retain", "test"))}
    case = Case(model, [model], [model], 0.1)
    absent = ("svc_modified_entropy", "threshold_modified_entropy", "zrf_uniform", "forget_macro_f1", "test_macro_f1")
    assert not any(METRICS[name].is_defined_for(model) for name in absent)
    assert all(METRICS[name].is_defined_for(model) for name in ("svc_entropy", "scrub_mia", "knowledge_gap", "tow"))
    for name in ("svc_confidence", "svc_entropy", "threshold_confidence", "scrub_mia", "entropy_mia", "tow_mia"):
        assert 0 <= METRICS[name].compute(case) <= 1
    with pytest.raises(ValueError, match="expected outputs over classes, got TokenOutputs"):
        METRICS["svc_modified_entropy"].compute(case)
