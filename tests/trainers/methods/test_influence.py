"""Influence unlearning: the inverse against a dense one, and one step against retraining where that is exact."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mubench.trainers.methods import influence
from mubench.trainers.methods.influence import solve
from tests.fixtures import toy

F = toy.FORGET


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("rows", "size"), [(5, 20), (20, 5), (1, 3)])
def test_the_inverse_is_that_of_the_whole_matrix(rows: int, size: int) -> None:
    gradients, vector = random(rows, size), random(size, seed=1)
    dense = 0.3 * torch.eye(size, dtype=torch.float64) + gradients.T @ gradients / rows
    torch.testing.assert_close(solve(gradients, vector, 0.3), torch.linalg.solve(dense, vector), atol=1e-12, rtol=0)


def test_on_ridge_regression_one_step_is_the_retrained_solution() -> None:
    x, y, damping = random(30, 6), random(30, seed=1), 0.2

    def minimum(rows: slice) -> torch.Tensor:
        matrix = x[rows].T @ x[rows] / len(x[rows]) + damping * torch.eye(6, dtype=torch.float64)
        return torch.linalg.solve(matrix, x[rows].T @ y[rows] / len(x[rows]))

    theta = minimum(slice(None))
    forget, retain = (
        (x[rows] * (x[rows] @ theta - y[rows])[:, None]).mean(dim=0) for rows in (slice(4), slice(4, 30))
    )
    moved = theta + solve(x[4:], 4 / 30 * (forget - retain), damping)
    torch.testing.assert_close(moved, minimum(slice(4, 30)), atol=1e-14, rtol=0)
    assert (theta - minimum(slice(4, 30))).abs().max() > 1e-2


def test_the_step_is_the_closed_form_on_a_table(tmp_path: Path) -> None:
    model = toy.Table()
    before = model.table.detach().clone()
    labels = torch.arange(toy.ROWS) % toy.CLASSES
    slopes = before.softmax(dim=1) - torch.nn.functional.one_hot(labels, toy.CLASSES)
    toy.trainer("influence", model, toy.split_rows(toy.table_rows()), tmp_path, alpha=2.0, damping=0.5).train()
    # A row's weights are its own: the curvature is damping on forget rows, and of one gradient on each retain row.
    retain = toy.ROWS - F
    expected = before.clone()
    expected[:F] += 2 * slopes[:F] / toy.ROWS / 0.5
    curvature = 0.5 + slopes[F:].square().sum(dim=1, keepdim=True) / retain
    expected[F:] -= 2 * F / toy.ROWS * slopes[F:] / retain / curvature
    torch.testing.assert_close(model.table.detach(), expected, atol=1e-6, rtol=1e-4)


def test_the_curvature_is_estimated_on_a_sample_that_depends_on_the_seed(tmp_path: Path) -> None:
    found = [toy.trained("influence", "vit", tmp_path, samples=3, damping=0.01, seed=seed) for seed in (1, 1, 2)]
    assert toy.same(found[0], toy.snapshot(found[1])) and not toy.same(found[0], toy.snapshot(found[2]))


def test_more_memory_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum(weight.numel() for weight in toy.build("vit").parameters())
    assert influence.MAX_BYTES == 4 * 2**30
    monkeypatch.setattr(influence, "MAX_BYTES", 4 * size * 7)
    with pytest.raises(ValueError, match=rf"a gradient of {size} weights .* expected samples of 7 or less, got 8"):
        toy.trained("influence", "vit", tmp_path, samples=8)
    toy.trained("influence", "vit", tmp_path, samples=7)
