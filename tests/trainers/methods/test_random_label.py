"""Random labels, answers and captions: always wrong, labels uniform, and used in training alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from mubench.trainers.engine.losses import per_example_loss, shift_labels, squared_error
from mubench.trainers.methods.random_label import RandomLabelTrainer
from mubench.trainers.tools.alternative_answers import answer_tokens, caption_tokens
from mubench.trainers.unlearning.cost_counter import CostCounter
from tests.fixtures import toy


def sampled_labels(
    folder: Path, count: int, classes: int, epoch: float = 0.0, **changes: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return the true and the sampled labels of the forget set."""
    rows = toy.table_rows(count + 4, classes)
    trainer = toy.trainer(
        "random_label", toy.Table(count + 4, classes), toy.split_rows(rows, count), folder, **changes
    )
    trainer.state.epoch = epoch
    batch = trainer.train_collator([trainer.train_dataset[i] for i in range(len(rows))])
    given = batch["labels"].clone()
    labels = trainer.training_labels(batch, classes)
    assert torch.equal(batch["labels"], given)
    assert torch.equal(labels[count:], given[count:])
    return given[:count].numpy(), labels[:count].numpy()


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_labels_are_wrong_and_uniform_over_the_wrong_ones(classes: int, tmp_path: Path) -> None:
    true, labels = sampled_labels(tmp_path, 3000, classes)
    assert (true != labels).all()
    assert set(labels) == set(range(classes))
    for label in range(classes):
        counts = np.delete(np.bincount(labels[true == label], minlength=classes), label)
        assert len(counts) == 1 or chisquare(counts).pvalue > 0.001


def test_labels_depend_on_the_seed_and_are_no_fixed_shift(tmp_path: Path) -> None:
    true, labels = sampled_labels(tmp_path, 200, 10, seed=0)
    assert len(set((labels - true) % 10)) == 9
    assert np.array_equal(sampled_labels(tmp_path, 200, 10, seed=0)[1], labels)
    assert not np.array_equal(sampled_labels(tmp_path, 200, 10, seed=1)[1], labels)


def test_classes_are_those_of_the_model_not_of_the_rows(tmp_path: Path) -> None:
    rows = [{"row": i, "labels": 0} for i in range(100)]
    trainer = toy.trainer("random_label", toy.Table(100, 5), toy.split_rows(rows, 90), tmp_path)
    batch = trainer.train_collator([trainer.train_dataset[i] for i in range(90)])
    seen: list[torch.Tensor] = []
    trainer.training_labels = lambda batch, classes: seen.append(classes) or batch["labels"]
    trainer.terms(trainer.model, batch)
    assert seen == [5]


@pytest.mark.parametrize("redraw", [False, True])
def test_labels_are_sampled_once_or_each_epoch(redraw: bool, tmp_path: Path) -> None:
    epochs = {epoch: sampled_labels(tmp_path, 200, 10, epoch, redraw=redraw)[1] for epoch in (0.0, 0.9, 1.0, 2.5)}
    assert np.array_equal(epochs[0.0], epochs[0.9])
    assert np.array_equal(epochs[0.0], epochs[1.0]) != redraw
    assert np.array_equal(epochs[1.0], epochs[2.5]) != redraw


def test_training_redraws_at_the_start_of_each_epoch(tmp_path: Path) -> None:
    trainer = toy.trainer("random_label", toy.Table(), toy.split_rows(toy.table_rows()), tmp_path, redraw=True)
    epochs: list[int] = []
    generator = trainer.generator
    trainer.generator = lambda purpose: epochs.append(int(purpose.split()[1])) or generator(purpose)
    trainer.train()
    assert epochs == [0, 0, 0, 1, 1, 1]


def test_the_loss_is_one_mean_over_both_sets(tmp_path: Path) -> None:
    name = "vit"
    trainer = toy.trainer("random_label", toy.build(name), toy.split_rows(toy.rows(name)), tmp_path)
    batch = trainer.train_collator([trainer.train_dataset[i] for i in range(toy.ROWS)])
    (term,) = trainer.terms(trainer.model, batch)
    logits = trainer.logits(trainer.model, batch)
    labels = trainer.training_labels(batch, toy.CLASSES)
    assert (term.split, term.weight) == ("all", 1.0)
    torch.testing.assert_close(term.values, per_example_loss(logits, labels))


def prepared(name: str, folder: Path, **changes: Any) -> tuple[Any, dict[str, Any]]:
    """Return a trainer of a language or text-to-image model, and a batch of all rows as `terms` gets it."""
    trainer = toy.trainer("random_label", toy.build(name), toy.split_rows(toy.rows(name)), folder, **changes)
    batch = trainer.train_collator([trainer.train_dataset[i] for i in range(toy.ROWS)])
    return trainer, shift_labels(trainer.model, batch)


def texts(trainer: Any, batch: dict[str, Any]) -> list[list[list[int]]]:
    """Return prompt and answer of every row of a batch."""
    inputs = zip(batch["input_ids"].tolist(), batch["attention_mask"].tolist(), strict=True)
    prompts = [[token for token, seen in zip(*one, strict=True) if seen] for one in inputs]
    answers = [answer_tokens({"labels": labels}) for labels in batch["labels"].tolist()]
    if trainer.model.config.is_encoder_decoder:
        return [[one, other] for one, other in zip(prompts, answers, strict=True)]
    return [[one[: -len(other)], one[-len(other) :]] for one, other in zip(prompts, answers, strict=True)]


@pytest.mark.parametrize("name", toy.LANGUAGE_MODELS)
def test_forget_examples_get_whole_answers_of_retain_examples_that_differ(name: str, tmp_path: Path) -> None:
    trainer, batch = prepared(name, tmp_path)
    before, after = (texts(trainer, one) for one in (batch, trainer.replace_answers(batch)))
    lent = [answer for _, answer in before[toy.FORGET :]]
    assert after[toy.FORGET :] == before[toy.FORGET :]
    for (prompt, answer), (still, other) in zip(before[: toy.FORGET], after[: toy.FORGET], strict=True):
        assert still == prompt
        assert other != answer and other in lent
    swapped = trainer.replace_answers(toy.reversed_batch(batch))
    assert texts(trainer, swapped) == after[::-1]


@pytest.mark.parametrize("name", toy.LANGUAGE_MODELS)
def test_the_loss_of_texts_is_one_mean_over_both_sets(name: str, tmp_path: Path) -> None:
    trainer, batch = prepared(name, tmp_path)
    (term,) = trainer.terms(trainer.model, batch)
    other = trainer.replace_answers(batch)
    assert (term.split, term.weight) == ("all", 1.0)
    torch.testing.assert_close(term.values, per_example_loss(trainer.logits(trainer.model, other), other["labels"]))
    assert not torch.allclose(
        term.values[: toy.FORGET],
        per_example_loss(trainer.logits(trainer.model, batch), batch["labels"])[: toy.FORGET],
    )


@pytest.mark.parametrize("redraw", [False, True])
def test_answers_are_sampled_once_or_each_epoch(redraw: bool, tmp_path: Path) -> None:
    trainer, _ = prepared("gpt2", tmp_path, redraw=redraw)
    found = {}
    for epoch in (0.0, 0.9, 1.0, 0.5):
        trainer.state.epoch = epoch
        found[epoch] = trainer.other_tokens(answer_tokens)
    assert found[0.0] == found[0.9] == found[0.5]
    assert (found[0.0] == found[1.0]) != redraw
    assert prepared("gpt2", tmp_path, seed=1)[0].other_tokens(answer_tokens) != found[0.0]


def test_the_target_of_noise_is_the_prediction_under_another_caption(tmp_path: Path) -> None:
    trainer, batch = prepared("diffusion", tmp_path)
    captions = trainer.other_tokens(caption_tokens)
    own, lent = batch["input_ids"][: toy.FORGET].tolist(), batch["input_ids"][toy.FORGET :].tolist()
    assert all(one != other and other in lent for one, other in zip(own, captions, strict=True))
    with torch.no_grad():
        other = {**batch, "input_ids": torch.tensor([*captions, *lent])}
        target = trainer.logits(trainer.model, other)
    target[toy.FORGET :] = batch["labels"][toy.FORGET :]
    (term,) = trainer.terms(trainer.model, batch)
    expected = squared_error(trainer.logits(trainer.model, batch), target)
    assert (term.split, term.weight) == ("all", 1.0)
    torch.testing.assert_close(term.values, expected)
    found, wanted = (torch.autograd.grad(v.sum(), list(trainer.model.parameters())) for v in (term.values, expected))
    for one, two in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, two)
    trainer.cached_tokens = (0, own)  # with its own caption an example has no loss
    values = trainer.terms(trainer.model, batch)[0].values.detach()
    assert float(values[: toy.FORGET].max()) < 1e-12 < float(values[toy.FORGET :].min())


@pytest.mark.parametrize("size", [3, 7])
def test_forget_images_take_two_forward_passes_and_one_backward_pass(size: int, tmp_path: Path) -> None:
    options = {"num_train_epochs": 2, "per_device_train_batch_size": size, "gradient_accumulation_steps": 2}
    trainer, _ = prepared("diffusion", tmp_path, **options)
    with CostCounter(trainer) as cost:
        trainer.train()
    assert cost.counts() == {"forward": 2 * (toy.ROWS + toy.FORGET), "backward": 2 * toy.ROWS}


def test_one_answer_for_all_is_refused(tmp_path: Path) -> None:
    rows = [{**row, "labels": [5, 1]} for row in toy.rows("t5")]
    trainer = toy.trainer("random_label", toy.build("t5"), toy.split_rows(rows), tmp_path)
    with pytest.raises(ValueError, match="expected another answer or caption among 12 retain rows, got none"):
        trainer.train()


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 2 classes for random labels, got 1"):
        RandomLabelTrainer.shifts(SimpleNamespace(), 1)  # type: ignore[arg-type]
