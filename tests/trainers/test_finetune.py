"""Fine-tuning is ordinary training on the retain rows, from the weights it is given."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.trainers import toy


def test_fine_tuning_follows_the_gradient_of_the_retain_rows(tmp_path: Path) -> None:
    model = toy.Table()
    before = model.table.detach().clone()
    options = {"num_train_epochs": 1, "learning_rate": 1.0, "per_device_train_batch_size": toy.ROWS}
    toy.trainer("finetune", model, toy.sides(toy.table_rows()), tmp_path, **options).train()
    one_hot = torch.nn.functional.one_hot(torch.arange(toy.ROWS) % toy.CLASSES, toy.CLASSES)
    expected = (before.softmax(-1) - one_hot) / (toy.ROWS - toy.FORGET)
    expected[: toy.FORGET] = 0
    torch.testing.assert_close(before - model.table, expected)


@pytest.mark.parametrize("name", toy.BACKBONES)
def test_t_grad_a_step_goes_down_the_mean_gradient_of_the_retain_rows(name: str, tmp_path: Path) -> None:
    model, data = toy.build(name), toy.rows(name)
    retain = data[toy.FORGET :]
    logits = model(**toy.inputs(retain)).logits
    one_hot = torch.eye(toy.CLASSES)[[row["labels"] for row in retain]]
    gradients = toy.gradients(logits, model, (logits.detach().softmax(-1) - one_hot) / len(retain))
    before = toy.snapshot(model)
    options = {"num_train_epochs": 1, "learning_rate": 0.01, "per_device_train_batch_size": toy.ROWS}
    toy.trainer("finetune", model, toy.sides(data), tmp_path, **options).train()
    for (key, weight), gradient in zip(model.named_parameters(), gradients, strict=True):
        torch.testing.assert_close(weight.detach(), before[key] - 0.01 * gradient, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", toy.BACKBONES)
def test_t_id_fine_tuning_starts_where_retraining_would_go_on(name: str, tmp_path: Path) -> None:
    model, data = toy.build(name), toy.rows(name)
    toy.trainer("finetune", model, toy.sides(data), tmp_path).train()
    assert toy.same(model, toy.snapshot(toy.trained("retrain", name, tmp_path)))
