"""Wrong labels: always wrong, uniform over the wrong ones, and seen by training alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from mubench.hub_builders.terms import per_example_loss
from mubench.trainers.methods.random_label import RandomLabelTrainer
from tests.trainers import toy


def drawn(folder: Path, count: int, classes: int, epoch: float = 0.0, **changes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the true and the drawn labels of all forget rows."""
    rows = toy.table_rows(count + 4, classes)
    trainer = toy.trainer("random_label", toy.Table(count + 4, classes), toy.sides(rows, count), folder, **changes)
    trainer.state.epoch = epoch
    batch = trainer.train_collator([trainer.train_dataset[i] for i in range(len(rows))])
    given = batch["labels"].clone()
    labels = trainer.training_labels(batch, classes)
    assert torch.equal(batch["labels"], given)
    assert torch.equal(labels[count:], given[count:])
    return given[:count].numpy(), labels[:count].numpy()


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_f14_labels_are_wrong_and_uniform_over_the_wrong_ones(classes: int, tmp_path: Path) -> None:
    true, labels = drawn(tmp_path, 3000, classes)
    assert (true != labels).all()
    assert set(labels) == set(range(classes))
    for label in range(classes):
        counts = np.delete(np.bincount(labels[true == label], minlength=classes), label)
        assert len(counts) == 1 or chisquare(counts).pvalue > 0.001


def test_f14_labels_depend_on_the_seed_and_are_no_fixed_shift(tmp_path: Path) -> None:
    true, labels = drawn(tmp_path, 200, 10, seed=0)
    assert len(set((labels - true) % 10)) == 9
    assert np.array_equal(drawn(tmp_path, 200, 10, seed=0)[1], labels)
    assert not np.array_equal(drawn(tmp_path, 200, 10, seed=1)[1], labels)


def test_f14_classes_are_those_of_the_model_not_of_the_rows(tmp_path: Path) -> None:
    rows = [{"row": i, "labels": 0} for i in range(100)]
    trainer = toy.trainer("random_label", toy.Table(100, 5), toy.sides(rows, 90), tmp_path)
    batch = trainer.train_collator([trainer.train_dataset[i] for i in range(90)])
    seen: list[torch.Tensor] = []
    trainer.training_labels = lambda batch, classes: seen.append(classes) or batch["labels"]
    trainer.terms(trainer.model, batch)
    assert seen == [5]


@pytest.mark.parametrize("redraw", [False, True])
def test_labels_are_drawn_once_or_each_epoch(redraw: bool, tmp_path: Path) -> None:
    epochs = {epoch: drawn(tmp_path, 200, 10, epoch, redraw=redraw)[1] for epoch in (0.0, 0.9, 1.0, 2.5)}
    assert np.array_equal(epochs[0.0], epochs[0.9])
    assert np.array_equal(epochs[0.0], epochs[1.0]) != redraw
    assert np.array_equal(epochs[1.0], epochs[2.5]) != redraw


def test_training_redraws_at_the_start_of_each_epoch(tmp_path: Path) -> None:
    trainer = toy.trainer("random_label", toy.Table(), toy.sides(toy.table_rows()), tmp_path, redraw=True)
    epochs: list[int] = []
    generator = trainer.generator
    trainer.generator = lambda purpose: epochs.append(int(purpose.split()[1])) or generator(purpose)
    trainer.train()
    assert epochs == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("name", toy.BACKBONES)
def test_the_loss_is_one_mean_over_both_sides(name: str, tmp_path: Path) -> None:
    trainer = toy.trainer("random_label", toy.build(name), toy.sides(toy.rows(name)), tmp_path)
    batch = trainer.train_collator([trainer.train_dataset[i] for i in range(toy.ROWS)])
    (term,) = trainer.terms(trainer.model, batch)
    logits = trainer.logits(trainer.model, batch)
    labels = trainer.training_labels(batch, toy.CLASSES)
    assert (term.stream, term.weight) == ("all", 1.0)
    torch.testing.assert_close(term.values, per_example_loss(logits, labels))


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        RandomLabelTrainer.shifts(SimpleNamespace(), 1)  # type: ignore[arg-type]
