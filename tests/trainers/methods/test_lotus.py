"""LoTUS: its targets, its temperature, its target accuracy and when it stops."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mubench.trainers.methods.lotus import gumbel_targets
from mubench.trainers.unlearning.forget_retain import ForgetRetain
from tests.fixtures import toy

LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 0.3, 3.0]])
NOISE = torch.tensor([[0.1, 2.0, 0.4], [0.2, -0.3, 0.5]])


def tau(value: float) -> torch.Tensor:
    return torch.full((2,), value)


@pytest.mark.parametrize("temperature", [0.0, 1e-3, 0.5, 1.0, 7.0])
def test_targets_sum_to_one_and_are_the_softmax_of_noisy_logits(temperature: float) -> None:
    targets = gumbel_targets(LOGITS, NOISE, tau(temperature))
    torch.testing.assert_close(targets.sum(-1), torch.ones(2))
    if temperature > 0.1:
        torch.testing.assert_close(targets, ((LOGITS + NOISE) / temperature).softmax(-1))
    else:
        torch.testing.assert_close(targets, torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), atol=1e-6, rtol=0)


def test_a_high_temperature_makes_targets_uniform() -> None:
    torch.testing.assert_close(gumbel_targets(LOGITS, NOISE, tau(1e6)), torch.full((2, 3), 1 / 3), atol=1e-5, rtol=0)


def test_sampled_classes_follow_the_probabilities_of_the_model() -> None:
    noise = torch.from_numpy(np.random.default_rng(0).gumbel(size=(20_000, 3)).astype(np.float32))
    frequency = gumbel_targets(LOGITS[:1].expand(20_000, 3), noise, torch.zeros(20_000)).mean(0)
    torch.testing.assert_close(frequency, LOGITS[0].softmax(-1), atol=0.012, rtol=0)


def table(folder: Path, right: tuple[int, int], **changes: Any) -> Any:
    """Return a prepared trainer of which so many of six forget and of four validation rows are right at first."""
    model, data = toy.Table(), toy.table_rows()
    with torch.no_grad():
        model.table.fill_(0)
        for place, row in enumerate(data):
            known = place < right[0] or toy.FORGET <= place < toy.FORGET + right[1]
            model.table[place, (row["labels"] + (0 if known else 1)) % toy.CLASSES] = 8.0
    trainer = toy.trainer("lotus", model, toy.split_rows(data), folder, **changes)
    trainer.prepare()
    return trainer


@pytest.mark.parametrize(("forget", "validation"), [(6, 4), (6, 2), (3, 4), (3, 2)])
def test_the_temperature_follows_the_accuracy_of_both(forget: int, validation: int, tmp_path: Path) -> None:
    trainer = table(tmp_path, (forget, validation), alpha=2.0)
    assert trainer.target == pytest.approx(validation / 4)
    assert trainer.gap() == pytest.approx(forget / 6 - validation / 4)
    noise = trainer.noise(torch.arange(toy.FORGET), toy.CLASSES)
    table_ = trainer.model.table.detach()
    scores = (table_[: toy.FORGET] + noise) / math.exp(2 * (forget / 6 - validation / 4))
    expected = (table_[: toy.FORGET].softmax(-1) - scores.softmax(-1)) / toy.FORGET
    toy.step(trainer, range(toy.FORGET)).backward()
    torch.testing.assert_close(trainer.model.table.grad[: toy.FORGET], expected, atol=1e-6, rtol=1e-4)


def test_the_target_accuracy_is_0_for_whole_classes(tmp_path: Path) -> None:
    rows = toy.table_rows()
    classes = [3 if place < toy.FORGET else place % 3 for place in range(len(rows))]
    data = toy.split_rows([{**row, "labels": label} for row, label in zip(rows, classes, strict=True)])
    trainer = toy.trainer("lotus", toy.Table(), data, tmp_path)
    trainer.prepare()
    assert trainer.target == 0.0
    data["retain"][0]["labels"] = 3
    trainer = toy.trainer("lotus", toy.Table(), data, tmp_path)
    trainer.prepare()
    known = trainer.accuracy(trainer.teachers["original"], ForgetRetain({"retain": trainer.validation}))
    assert 0.0 < trainer.target == known


def test_the_temperature_of_an_epoch_is_that_of_its_start(tmp_path: Path) -> None:
    trainer = table(tmp_path, (6, 2))
    first = trainer.gap()
    with torch.no_grad():
        trainer.model.table.mul_(-1)
    assert trainer.gap() == first
    trainer.state.epoch = 1.0
    assert trainer.gap() == pytest.approx(-0.5)


def test_the_noise_depends_on_the_epoch_and_not_on_the_batch(tmp_path: Path) -> None:
    trainer = table(tmp_path, (6, 2))
    rows = torch.tensor([3, 11])
    first = trainer.noise(rows, toy.CLASSES)
    assert torch.equal(trainer.noise(torch.arange(12), toy.CLASSES)[rows], first)
    trainer.state.epoch = 1.5
    assert not torch.equal(trainer.noise(rows, toy.CLASSES), first)


@pytest.mark.parametrize(("stop_below", "epochs"), [(0.4, 1), (-0.01, 8)])
def test_training_ends_once_accuracy_is_down_to_its_target(stop_below: float, epochs: int, tmp_path: Path) -> None:
    trainer = table(tmp_path, (3, 2), stop_below=stop_below, num_train_epochs=8, per_device_train_batch_size=50)
    trainer.train()
    assert trainer.state.global_step == epochs


@pytest.mark.parametrize("rows", [None, {"test": [1]}, []])
def test_validation_rows_are_required(rows: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="LotusTrainer needs validation rows in eval_dataset, got none"):
        toy.trainer("lotus", toy.Table(), toy.split_rows(toy.table_rows()), tmp_path, given={"eval_dataset": rows})


def test_training_keeps_the_teacher_and_the_training_mode(tmp_path: Path) -> None:
    model = toy.build("resnet", coupled=True)
    trainer = toy.trainer("lotus", model, toy.split_rows(toy.rows("resnet")), tmp_path)
    trainer.train()
    assert toy.same(trainer.teachers["original"], toy.snapshot(toy.build("resnet", coupled=True)))
    statistics = [key for key in toy.snapshot(model) if "running" in key]
    before = toy.snapshot(toy.build("resnet", coupled=True))
    assert statistics and not any(torch.equal(model.state_dict()[key], before[key]) for key in statistics)
