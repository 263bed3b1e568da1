"""L1-sparse: the schedule, the gradient and the effect of its penalty."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mubench.trainers.methods.l1_sparse import l1_weight
from tests.fixtures import toy


def test_the_weight_falls_linearly_to_zero_in_the_last_epochs() -> None:
    assert [l1_weight(0.6, epoch, 5, 2) for epoch in range(5)] == pytest.approx([0.6, 0.4, 0.2, 0.0, 0.0])
    assert [l1_weight(0.6, epoch, 3, 0) for epoch in range(3)] == pytest.approx([0.6, 0.4, 0.2])
    assert l1_weight(0.6, 0, 2, 2) == 0


def test_the_gradient_of_the_penalty_is_the_sign_of_every_weight(tmp_path: Path) -> None:
    model = toy.Table()
    with torch.no_grad():
        model.table[: toy.FORGET, 0] = 0
    before = model.table.detach().clone()
    options = {"learning_rate": 1.0, "per_device_train_batch_size": toy.ROWS, "num_train_epochs": 1, "gamma": 0.01}
    toy.trainer("l1_sparse", model, toy.split_rows(toy.table_rows()), tmp_path, **options).train()
    moved = (before - model.table)[: toy.FORGET]
    torch.testing.assert_close(moved, 0.01 * before[: toy.FORGET].sign())
    assert moved[:, 0].eq(0).all() and moved[:, 1:].ne(0).all()


def test_the_penalty_decays_with_the_epochs_and_is_logged_separately(tmp_path: Path) -> None:
    logged = {"logging_strategy": "epoch", "learning_rate": 0.0, "num_train_epochs": 4}
    model = toy.Table()
    trainer = toy.trainer(
        "l1_sparse", model, toy.split_rows(toy.table_rows()), tmp_path, gamma=0.3, no_l1_epochs=1, **logged
    )
    trainer.train()
    norm = float(model.table.abs().sum())
    found = [log.get("loss_penalty", 0.0) for log in trainer.state.log_history if "loss" in log]
    assert found == pytest.approx([0.3 * norm, 0.2 * norm, 0.1 * norm, 0.0], rel=1e-5)


def test_the_penalty_makes_weights_small(tmp_path: Path) -> None:
    models = [toy.trained("l1_sparse", "vit", tmp_path, gamma=gamma) for gamma in (0.0, 0.01)]
    size = [sum(float(weight.abs().sum()) for weight in one.parameters()) for one in models]
    assert size[1] < 0.99 * size[0]


@pytest.mark.parametrize("name", ["resnet", "gpt2"])
def test_the_penalty_covers_every_weight_and_tied_ones_once(name: str, tmp_path: Path) -> None:
    trainer = toy.trainer("l1_sparse", toy.build(name), toy.split_rows(toy.rows(name)), tmp_path, gamma=0.3)
    trainer.penalty(trainer.model).backward()
    for weight in trainer.model.parameters():
        torch.testing.assert_close(weight.grad, 0.3 * weight.detach().sign())


def test_frozen_weights_are_left_out_of_the_norm(tmp_path: Path) -> None:
    model = toy.build("vit")
    model.vit.requires_grad_(False)
    trainer = toy.trainer("l1_sparse", model, toy.split_rows(toy.rows("vit")), tmp_path, gamma=1.0)
    head = sum(float(weight.abs().sum()) for weight in model.classifier.parameters())
    assert float(trainer.penalty(model)) == pytest.approx(head, rel=1e-5)
