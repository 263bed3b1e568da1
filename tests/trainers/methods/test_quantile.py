"""Quantile: hand-worked targets, and that it reads the base model, validation rows and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mubench.trainers.methods.quantile import log_odds, map_to_quantiles, with_log_odds
from tests.fixtures import toy


def logs(*rows: list[float]) -> torch.Tensor:
    """Return logits with these probabilities."""
    return torch.tensor(rows).log()


def test_the_log_odds_are_those_of_the_true_class() -> None:
    found = log_odds(logs([0.5, 0.3, 0.2], [0.1, 0.1, 0.8]) + 7, torch.tensor([1, 2]))
    torch.testing.assert_close(found, torch.tensor([3 / 7, 4.0]).log())


def test_values_take_the_quantiles_of_the_others_in_their_own_order() -> None:
    assert map_to_quantiles(np.array([3.0, 1.0, 2.0]), np.array([30.0, 0.0, 10.0, 20.0])).tolist() == pytest.approx(
        [25, 5, 15]
    )
    assert map_to_quantiles(np.array([2.0, 2.0]), np.array([8.0, 4.0])).tolist() == [5, 7]  # the first is the smaller


def test_a_target_has_the_log_odds_and_other_classes_keep_their_proportions() -> None:
    base, labels = logs([0.5, 0.3, 0.2], [0.5, 0.3, 0.2]), torch.tensor([0, 2])
    found = with_log_odds(base, labels, torch.tensor([1 / 4, 1.0]).log())
    torch.testing.assert_close(found, torch.tensor([[0.2, 0.48, 0.32], [0.3125, 0.1875, 0.5]]))


def test_the_gradient_is_p_minus_the_target_on_both_splits(tmp_path: Path) -> None:
    base = logs([0.9, 0.05, 0.05], [0.6, 0.3, 0.1], [0.2, 0.6, 0.2], [0.1, 0.8, 0.1], [0.5, 0.2, 0.3])
    rows = [{"row": i, "labels": label} for i, label in enumerate([0, 0, 1, 2, 2])]
    model = toy.Table(5, 3)
    with torch.no_grad():
        model.table.copy_(base)
    # Two forget rows; validation rows of odds 1/9 and 3/7, whose quantiles at 1/4 and 3/4 are the new log-odds.
    given = {"eval_dataset": {"validation": rows[3:]}}
    trainer = toy.trainer("quantile", model, toy.split_rows(rows[:3], 2), tmp_path, given=given)
    trainer.prepare()
    low, high = np.log(1 / 9), np.log(3 / 7)
    odds = np.exp([low + 0.75 * (high - low), low + 0.25 * (high - low)])
    wanted = []
    for odd, others in zip(odds, ([0.5, 0.5], [0.75, 0.25]), strict=True):
        wanted.append([odd / (1 + odd), *(share / (1 + odd) for share in others)])
    with torch.no_grad():
        model.table.copy_(toy.Table(5, 3, seed=1).table)
    toy.step(trainer, range(3)).backward()
    targets = torch.tensor([*wanted, [0.2, 0.6, 0.2]], dtype=torch.float32)
    torch.testing.assert_close(model.table.grad[:3], (model.table.detach()[:3].softmax(-1) - targets) / 3)
    assert not model.table.grad[3:].any()


def test_at_the_base_model_retain_rows_have_no_loss_and_no_gradient(tmp_path: Path) -> None:
    trainer = toy.trainer("quantile", toy.Table(), toy.split_rows(toy.table_rows()), tmp_path)
    trainer.prepare()
    loss = toy.step(trainer, range(toy.FORGET, toy.ROWS))
    loss.backward()
    assert abs(float(loss.detach())) < 1e-6 and float(trainer.model.table.grad.abs().max()) < 1e-6


def test_training_gives_forget_rows_the_confidence_of_unseen_rows(tmp_path: Path) -> None:
    model = toy.Table()
    with torch.no_grad():
        model.table[: toy.FORGET, :] += 6 * torch.eye(toy.CLASSES)[torch.arange(toy.FORGET) % toy.CLASSES]
    options: dict[str, Any] = {
        "learning_rate": 40.0,
        "num_train_epochs": 150,
        "per_device_train_batch_size": toy.ROWS,
    }
    trainer = toy.trainer("quantile", model, toy.split_rows(toy.table_rows()), tmp_path, **options)
    trainer.train()
    labels = torch.arange(toy.FORGET) % toy.CLASSES
    found = log_odds(model.table.detach()[: toy.FORGET], labels)
    torch.testing.assert_close(found.sigmoid(), trainer.wanted.sigmoid(), atol=1e-2, rtol=0)


def test_validation_rows_are_required(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="QuantileTrainer needs validation rows in eval_dataset, got none"):
        toy.trainer("quantile", toy.Table(), toy.split_rows(toy.table_rows()), tmp_path, given={"eval_dataset": None})
