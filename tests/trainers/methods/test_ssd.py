"""SSD against its closed form: who is dampen, by how much, and when nothing is."""

from __future__ import annotations

from pathlib import Path

import torch

from mubench.trainers.methods.ssd import dampen
from tests.fixtures import toy

WEIGHT = torch.tensor([[2.0, -3.0], [0.5, 0.0]])


def test_half_as_important_is_half_the_weight() -> None:
    every = torch.full((2, 2), 0.25)
    assert torch.equal(dampen(WEIGHT, 2 * every, every, 1.0, 1.0), WEIGHT / 2)


def test_equal_importances_change_nothing_to_the_bit() -> None:
    importance = torch.rand(2, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(dampen(WEIGHT, importance, importance, 1.0, 1.0), WEIGHT)


def test_only_weights_above_the_threshold_are_touched_and_none_grows() -> None:
    forget, every = torch.tensor([[9.0, 11.0], [1e-30, 0.0]]), torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert torch.equal(dampen(WEIGHT, forget, every, 10.0, 1.0), torch.tensor([[2.0, -3.0 / 11], [0.0, 0.0]]))
    assert torch.equal(dampen(WEIGHT, forget, every, 10.0, 50.0), torch.tensor([[2.0, -3.0], [0.0, 0.0]]))
    assert (dampen(WEIGHT, forget, every, 0.0, 2.0).abs() <= WEIGHT.abs()).all()


def test_the_edit_is_the_closed_form_on_a_table(tmp_path: Path) -> None:
    model = toy.Table()
    before, p = model.table.detach().clone(), model.table.softmax(dim=1).detach()
    toy.trainer("ssd", model, toy.split_rows(toy.table_rows()), tmp_path, alpha=2.0, dampening=1.5).train()
    # A row's weights matter to it alone: I_F is 18 / 6 of I_D on forget rows, and nothing on retain rows.
    expected = before.clone()
    expected[: toy.FORGET] *= 0.5
    assert (p > 0).all()
    torch.testing.assert_close(model.table.detach(), expected)
    assert torch.equal(model.table[toy.FORGET :], before[toy.FORGET :])
