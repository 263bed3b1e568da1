"""Outputs of text-to-image models, as numbers and as files."""

import math

import numpy as np
import pyarrow.parquet as pq
import pytest

from mubench.hub_builders.hub.restricted import OUTPUT_COLUMNS
from mubench.trainers.inference.image_outputs import NOISE_LEVELS, ImageOutputs
from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.inference.storage import read_outputs, write_outputs

ROWS, CLASSES = 6, 4


@pytest.fixture
def outputs():
    rng = np.random.default_rng(0)
    shown = ClassOutputs(
        ids=np.array([f"r{i}" for i in range(ROWS)]),
        logits=rng.normal(size=(ROWS, CLASSES)).astype(np.float32),
        labels=np.array([0, 1, 2, 3, 1, 1]),
    )
    return ImageOutputs(shown, rng.uniform(0.01, 0.5, size=(ROWS, NOISE_LEVELS)).astype(np.float32))


def test_confidence_is_minus_the_log_of_the_mean_loss(outputs):
    by_hand = [-math.log(sum(map(float, row)) / NOISE_LEVELS) for row in outputs.losses]
    np.testing.assert_allclose(outputs.true_probability, by_hand, rtol=1e-6)
    np.testing.assert_array_equal(outputs.log_odds, outputs.true_probability)


def test_the_score_is_whether_the_generated_image_is_of_the_class(outputs):
    assert outputs.correct.tolist() == (outputs.classes.logits.argmax(1) == outputs.classes.labels).tolist()
    assert outputs.ids.tolist() == [f"r{i}" for i in range(ROWS)] and len(outputs) == ROWS


def test_files_give_back_what_was_written_and_hold_nothing_that_may_not_go(outputs, tmp_path):
    write_outputs(tmp_path / "reference", {"test": outputs})
    (found,) = read_outputs(tmp_path / "reference").values()
    assert isinstance(found, ImageOutputs) and found.equals(outputs)
    assert set(pq.read_schema(tmp_path / "reference" / "test.parquet").names) <= OUTPUT_COLUMNS


def test_rows_are_selected_by_id(outputs):
    some = outputs.select(["r4", "r0"])
    assert some.ids.tolist() == ["r4", "r0"]
    np.testing.assert_array_equal(some.losses, outputs.losses[[4, 0]])
    np.testing.assert_array_equal(some.classes.logits, outputs.classes.logits[[4, 0]])


def test_a_lost_number_is_found(outputs):
    assert outputs.is_finite() and not outputs.is_constant()
    outputs.losses[2, 3] = np.nan
    assert not outputs.is_finite()


def test_given_log_odds_scale_the_losses_of_a_row(outputs):
    wanted = np.linspace(-1, 4, ROWS)
    found = outputs.with_log_odds(wanted)
    np.testing.assert_allclose(found.log_odds, wanted, atol=1e-5)
    ratio = found.losses / outputs.losses
    np.testing.assert_allclose(ratio, np.repeat(ratio[:, :1], NOISE_LEVELS, axis=1), rtol=1e-5)
    assert found.classes is outputs.classes


def test_flipped_rows_show_another_class_at_the_same_losses(outputs):
    labels = outputs.classes.labels
    one_hot = (labels[:, None] == np.arange(CLASSES)).astype(np.float32)
    right = ImageOutputs(ClassOutputs(outputs.ids, 5 * one_hot, labels), outputs.losses)
    wrong = right.flip(np.array([1, 4]), np.random.default_rng(0))
    assert wrong.correct.tolist() == [True, False, True, True, False, True]
    np.testing.assert_array_equal(wrong.true_probability, right.true_probability)


def test_constant_outputs_have_the_loss_of_predicting_no_noise(outputs):
    fixed = outputs.constant(outputs.most_frequent())
    assert outputs.most_frequent() == 1 and fixed.is_constant()
    assert fixed.correct.mean() == 0.5 and not fixed.true_probability.any()


def test_losses_of_another_shape_are_refused(outputs):
    with pytest.raises(ValueError, match=r"^expected \(6, 8\) losses, got \(6, 7\)$"):
        ImageOutputs(outputs.classes, outputs.losses[:, :-1])
