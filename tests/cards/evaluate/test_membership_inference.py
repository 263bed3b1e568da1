"""The metric `membership_inference`, loaded by `evaluate` from its folder, against scikit-learn."""

from importlib import import_module  # seconds, of which only the worker that runs this file has to wait
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

import mubench.cards

FOLDER = Path(mubench.cards.__file__).parent / "evaluate" / "membership_inference"


@pytest.fixture(scope="module")
def metric():
    return import_module("evaluate").load(str(FOLDER), keep_in_memory=True)


@pytest.fixture(scope="module")
def rows():
    """Log-odds of 60 forget and 200 test rows of a model and of three retrained ones, mixed."""
    generator = np.random.default_rng(0)
    member = generator.permutation(np.repeat([1, 0], [60, 200]))
    return member, generator.normal(member, 1), generator.normal(0, 1, size=(3, 260))


def test_the_loss_attack_is_that_of_scikit_learn(metric, rows):
    member, log_odds, _ = rows
    found = metric.compute(predictions=log_odds, references=member)
    false, true, _ = roc_curve(member, log_odds, drop_intermediate=False)
    assert found["auc"] == pytest.approx(roc_auc_score(member, log_odds), abs=1e-12)
    assert found["advantage"] == pytest.approx(2 * abs(found["auc"] - 0.5), abs=1e-12)
    assert found["tpr_at_1_fpr"] == pytest.approx(true[false <= 0.01].max(), abs=1e-12)
    assert set(found) == {"auc", "advantage", "tpr_at_1_fpr"}


def test_batches_add_up(metric, rows):
    member, log_odds, _ = rows
    for part in (slice(0, 100), slice(100, None)):
        metric.add_batch(predictions=log_odds[part], references=member[part])
    assert metric.compute() == metric.compute(predictions=log_odds, references=member)


@pytest.mark.parametrize("kind", ["loss", "probability"])
def test_losses_and_probabilities_give_the_same_figures(metric, rows, kind):
    member, log_odds, retrained = rows
    form = {"loss": lambda x: np.logaddexp(0, -x), "probability": lambda x: 1 / (1 + np.exp(-x))}[kind]
    expected = metric.compute(predictions=log_odds, references=member, retrained=retrained)
    found = metric.compute(predictions=form(log_odds), references=member, retrained=form(retrained), kind=kind)
    assert found == pytest.approx(expected, abs=1e-9)


def test_certain_rows_are_ranked_and_not_refused(metric):
    found = metric.compute(predictions=[1.0, 0.9, 0.5, 0.0], references=[1, 1, 0, 0], kind="probability")
    assert found["auc"] == 1.0 and found["tpr_at_1_fpr"] == 1.0


def test_attacks_by_further_numbers(metric, rows):
    member, log_odds, retrained = rows
    entropy, correct = np.abs(log_odds), log_odds > 0
    found = metric.compute(
        predictions=log_odds, references=member, entropy=entropy, correct=correct, retrained=retrained
    )
    z = log_odds - retrained.mean(axis=0)
    probability, unseen = 1 / (1 + np.exp(-log_odds)), (1 / (1 + np.exp(-retrained))).mean(axis=0)
    values = {"entropy": entropy, "correctness": correct, "z": z, "absolute_z": np.abs(z)}
    values["rmia"] = probability / (0.5 * (1.3 * unseen + 0.7))
    for name, value in values.items():
        assert found[f"auc_{name}"] == pytest.approx(roc_auc_score(member, value), abs=1e-12)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"kind": "logits"}, "expected kind as one of log_odds, loss, probability, got 'logits'"),
        ({"kind": "probability"}, "expected finite numbers from 0 to 1 for kind 'probability', got others"),
        ({"predictions": [np.nan, 0, 1]}, "expected finite numbers from -inf to inf"),
        ({"references": [1, 1, 1]}, "expected references of 1 .forget rows. and 0 .test rows., got others"),
        ({"entropy": [1.0]}, r"expected 3 finite numbers in entropy, got shape \(1,\)"),
        ({"retrained": [[1.0]]}, r"expected 3 finite numbers in retrained, got shape \(1,\)"),
    ],
)
def test_mistakes_are_one_line(metric, changes, line):
    with pytest.raises(ValueError, match=line) as error:
        metric.compute(**{"predictions": [2.0, 0.5, -1.0], "references": [1, 0, 0], **changes})
    assert "\n" not in str(error.value)


@pytest.mark.slow  # imports gradio
def test_the_page_returns_the_figures_of_the_metric(metric):
    from mubench.cards.evaluate.membership_inference import app  # noqa: PLC0415

    found = app.compute("[2, 1]", "[0, 1.5]", "log_odds")
    assert found == metric.compute(predictions=[2, 1, 0, 1.5], references=[1, 1, 0, 0])
    assert found["auc"] == 0.75
    with pytest.raises(ValueError, match=r"expected a list of numbers such as .*, got 'x'"):
        app.compute("x", "[1]", "loss")
    assert app.build().fn is app.compute
