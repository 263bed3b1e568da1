"""SFRon: the weights of examples, the mask, the order of steps, and a forget step in closed form."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from mubench.trainers.methods.sfron import row_weights
from mubench.trainers.tools.importance import mean_squares
from tests.fixtures import toy

F, R = toy.FORGET, toy.ROWS - toy.FORGET


def test_row_weights_have_mean_one_and_favour_small_losses() -> None:
    losses = torch.tensor([0.01, 1.0, 4.0], requires_grad=True)
    weights = row_weights(losses, 0.5)
    torch.testing.assert_close(weights, torch.tensor([10.0, 1.0, 0.5]) * 3 / 11.5)
    assert not weights.requires_grad
    assert torch.equal(row_weights(losses, 0.0), torch.ones(3))
    assert torch.isfinite(row_weights(torch.tensor([0.0, 2.0]), 0.5)).all()
    assert len(row_weights(torch.empty(0), 0.5)) == 0


def test_a_forget_step_changes_the_weights_in_the_mask_alone(tmp_path: Path) -> None:
    name = "vit"
    model = toy.build(name)
    trainer = toy.trainer("sfron", model, toy.split_rows(toy.rows(name)), tmp_path, max_steps=1)
    forget, retain = (mean_squares(trainer, rows) for rows in (trainer.forget_rows, trainer.retain_rows))
    before = [weight.detach().clone() for weight in model.parameters()]
    trainer.train()
    moved = torch.cat([(weight != old).flatten() for weight, old in zip(model.parameters(), before, strict=True)])
    wanted = torch.cat([(f > r).flatten() for f, r in zip(forget, retain, strict=True)])
    assert not (moved & ~wanted).any()
    assert moved.sum() > 0.5 * wanted.sum() and wanted.float().mean() < 0.95


def test_the_mask_holds_the_weights_that_matter_more_to_the_forget_set(tmp_path: Path) -> None:
    model = toy.Table()
    trainer = toy.trainer("sfron", model, toy.split_rows(toy.table_rows()), tmp_path)
    trainer.prepare()
    mask = trainer.masks[0].unpack()
    assert mask[:F].all() and not mask[F:].any()
    trainer.args.gamma = 0.0
    trainer.prepare()
    assert trainer.masks[0].unpack().all()


@pytest.mark.parametrize(("size", "period"), [(2, 2), (4, 1), (5, 5)])
def test_a_forget_step_comes_before_every_few_retain_steps(size: int, period: int, tmp_path: Path) -> None:
    options = {"per_device_train_batch_size": size, "period": period, "num_train_epochs": 1}
    trainer = toy.trainer("sfron", toy.build("vit"), toy.split_rows(toy.rows("vit")), tmp_path, **options)
    steps = [bool(rows[0] < F) for rows in trainer.batch_sampler()]
    rows = [row for part in trainer.batch_sampler() for row in part]
    assert sorted(row for row in rows if row >= F) == list(range(F, F + R))
    assert steps[0]
    starts = [i for i, forget in enumerate(steps) if forget]
    assert all(0 < b - a - 1 <= period for a, b in zip(starts, [*starts[1:], len(steps)], strict=True))
    assert len(starts) == math.ceil(R / (size * period))
    trainer.args.gradient_accumulation_steps = 2
    assert len(trainer.phases(0)) == 2 * math.ceil(R / (2 * size * period))


def one_step(folder: Path, **changes: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a table and how far its first step, on all forget rows, moves it."""
    model = toy.Table()
    before = model.table.detach().clone()
    options = {"per_device_train_batch_size": F, "max_steps": 1, "learning_rate": 0.1, "clip": 1e9, **changes}
    toy.trainer("sfron", model, toy.split_rows(toy.table_rows()), folder, **options).train()
    return before, model.table.detach() - before


def test_a_forget_step_is_weighted_ascent(tmp_path: Path) -> None:
    before, moved = one_step(tmp_path, alpha=3.0, power=0.5)
    labels = torch.arange(toy.ROWS) % toy.CLASSES
    losses = torch.nn.functional.cross_entropy(before, labels, reduction="none")[:F]
    slopes = (before.softmax(dim=1) - torch.nn.functional.one_hot(labels, toy.CLASSES))[:F]
    weights = losses**-0.5 / (losses**-0.5).mean()
    torch.testing.assert_close(moved[:F], 0.1 * 3 * weights[:, None] * slopes / F, atol=1e-6, rtol=1e-4)
    assert not moved[F:].any()


def test_without_the_power_a_forget_step_is_that_of_neg_grad(tmp_path: Path) -> None:
    _, moved = one_step(tmp_path, alpha=1.0, power=0.0)
    model = toy.Table()
    before = model.table.detach().clone()
    options = {"per_device_train_batch_size": F, "max_steps": 1, "learning_rate": 0.1}
    toy.trainer("neg_grad", model, toy.split_rows(toy.table_rows()), tmp_path, **options).train()
    torch.testing.assert_close(moved, model.table.detach() - before)


def test_a_forget_step_is_clipped_and_a_retain_step_is_not(tmp_path: Path) -> None:
    _, moved = one_step(tmp_path, alpha=1e4, clip=0.5)
    assert float(moved.norm()) == pytest.approx(0.1 * 0.5, rel=1e-4)
    _, free = one_step(tmp_path, alpha=0.0, clip=1e-9, max_steps=2)
    assert float(free.norm()) > 1e-3


def test_the_scale_falls_to_zero_along_a_cosine(tmp_path: Path) -> None:
    trainer = toy.trainer("sfron", toy.Table(), toy.split_rows(toy.table_rows()), tmp_path, alpha=8.0)
    trainer.state.max_steps = 4
    found = []
    for trainer.state.global_step in (0, 1, 2, 4):
        found.append(trainer.alpha())
    assert found == pytest.approx([8.0, 4 + 8**0.5, 4.0, 0.0])
