"""Relearning: its formulas, its halves, and fine-tuning on the smallest models."""

from dataclasses import replace

import numpy as np
import pytest

from mubench.trainers.evaluation import relearning
from mubench.trainers.evaluation.relearning import (
    STEPS,
    anamnesis,
    arguments,
    fine_tune,
    halves,
    omega,
    relearn,
    steps_to_relearn,
)
from mubench.trainers.metrics import NoSignal
from tests.fixtures.walk import FORGET


def test_omega_is_zero_for_retrained_and_one_for_base_models():
    known, bases = [0.5, 0.7], [0.9, 1.1]
    values = [omega(value, known, bases) for value in (0.6, 0.8, 1.0, 0.2)]
    assert values == pytest.approx([0, 0.5, 1, 0])
    with pytest.raises(NoSignal, match="relearn"):
        omega(0.5, [0.9], [0.9])


def test_anamnesis_is_one_for_retrained_and_zero_for_base_models():
    assert [anamnesis(steps, [4, 6]) for steps in (0, 5, 10)] == [0, 1, 2]
    with pytest.raises(NoSignal, match="ain"):
        anamnesis(3, [0, 0])


def test_halves_depend_on_the_ids_alone():
    ids = [f"row{i}" for i in range(31)]
    seen, unseen = halves(ids)
    assert (len(seen), len(unseen)) == (15, 16) and sorted([*seen, *unseen]) == list(range(31))
    backwards = halves(ids[::-1])
    assert {30 - row for row in backwards[0]} == set(seen)
    assert 3 < sum(row < 15 for row in seen) < 13


def _rows(walked):
    setting = walked.setting()
    return setting, setting.rows["train"].select(setting.forget_mask(10).nonzero()[0])


def test_relearning_trains_on_one_half_and_reads_the_other(walked, monkeypatch):
    setting, forget = _rows(walked)
    trained, train = [], relearning.fine_tune

    def fine_tune(setting, model, processor, rows, *, steps):
        trained.append((rows.rows["example_id"], steps))
        train(setting, model, processor, rows, steps=steps)

    monkeypatch.setattr(relearning, "fine_tune", fine_tune)
    model, processor = setting.load(walked.base())
    first = relearn(setting, model, processor, forget)
    ids = np.array(forget["example_id"])
    seen, unseen = halves(ids)
    assert len(ids) == FORGET and trained == [(ids[seen].tolist(), STEPS)]
    other = forget.select(unseen)
    outputs = setting.modality.predict(model, processor, other, setting.modality.encode(other, processor))
    assert first == outputs.true_probability.mean()
    untouched = setting.load(walked.base())[0]
    assert any(not a.equal(b) for a, b in zip(model.parameters(), untouched.parameters(), strict=True))
    assert relearn(setting, untouched, processor, forget) == first


def test_steps_are_counted_until_the_score_is_reached(walked, monkeypatch):
    monkeypatch.setattr(relearning, "LIMIT", 12)
    setting, forget = _rows(walked)
    model, processor = setting.load(walked.base())
    rows = setting.modality.encode(forget, processor)
    known = setting.modality.predict(model, processor, forget, rows).correct.mean()
    assert steps_to_relearn(setting, model, processor, forget, base_score=known) == 0
    needed = steps_to_relearn(setting, model, processor, forget, base_score=known + 0.2)
    assert 0 < needed < 12
    score = setting.modality.predict(model, processor, forget, rows).correct.mean()
    assert score >= 0.95 * (known + 0.2)
    assert steps_to_relearn(setting, model, processor, forget, base_score=2.0) == 12


def test_mini_classifiers_are_fine_tuned_by_adamw_at_a_constant_rate(walked):
    found = arguments(walked.setting())
    assert (found["optim"], found["learning_rate"], found["lr_scheduler_type"]) == ("adamw_torch", 1e-3, "constant")
    assert found["warmup_steps"] == 0


def test_models_of_an_augmented_recipe_relearn_plain_rows(walked):
    setting = replace(walked.setting(), recipe=replace(walked.setting().recipe, augment=True))
    model, processor = setting.modality.load(walked.base())
    rows = setting.rows["train"].select(range(4))
    fine_tune(setting, model, processor, setting.modality.encode(rows, processor), steps=1)
    assert not arguments(setting)["augment"]
