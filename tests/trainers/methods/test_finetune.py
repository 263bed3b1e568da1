"""Fine-tuning is ordinary training on the retain set, from the given weights."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.fixtures import toy


def test_fine_tuning_follows_the_gradient_of_the_retain_set(tmp_path: Path) -> None:
    model = toy.Table()
    before = model.table.detach().clone()
    options = {"num_train_epochs": 1, "learning_rate": 1.0, "per_device_train_batch_size": toy.ROWS}
    toy.trainer("finetune", model, toy.split_rows(toy.table_rows()), tmp_path, **options).train()
    one_hot = torch.nn.functional.one_hot(torch.arange(toy.ROWS) % toy.CLASSES, toy.CLASSES)
    expected = (before.softmax(-1) - one_hot) / (toy.ROWS - toy.FORGET)
    expected[: toy.FORGET] = 0
    torch.testing.assert_close(before - model.table, expected)
