"""Gradients of single examples: against a linear softmax's closed forms, and against autograd on every backbone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.engine.losses import IGNORED, per_example_loss
from mubench.trainers.tools import importance
from mubench.trainers.unlearning.cost_counter import CostCounter
from tests.fixtures import toy

F = toy.FORGET
GENERATOR = torch.Generator().manual_seed(5)


def ssd_trainer(name: str, folder: Path) -> Any:
    return toy.trainer("ssd", toy.build(name, coupled=True, dropout=0.3), toy.split_rows(toy.rows(name)), folder)


def one_by_one(name: str, count: int) -> list[list[torch.Tensor]]:
    model = toy.build(name, coupled=True, dropout=0.3).eval()
    found = []
    for row in toy.rows(name)[:count]:
        loss = per_example_loss(model(**toy.inputs([row])).logits, torch.tensor([row["labels"]]))
        weights = list(model.parameters())
        found.append(list(torch.autograd.grad(loss.sum(), weights, allow_unused=True, materialize_grads=True)))
    return found


@pytest.mark.parametrize("name", toy.BACKBONES)
def test_f19_squares_are_of_single_examples_in_eval_mode_and_of_all_rows(name: str, tmp_path: Path) -> None:
    squares = importance.mean_squares(ssd_trainer(name, tmp_path), np.arange(F))
    for found, *expected in zip(squares, *one_by_one(name, F), strict=True):
        torch.testing.assert_close(found, torch.stack(expected).square().mean(dim=0), atol=1e-7, rtol=1e-4)


def test_squares_of_weights_in_bf16_are_summed_in_fp32(tmp_path: Path) -> None:
    model = toy.build("bert").to(torch.bfloat16)
    made = toy.trainer("ssd", model, toy.split_rows(toy.rows("bert")), tmp_path)
    rows = np.tile(np.arange(2), 400)  # in bf16 a sum stops growing at 256 times its terms
    once, often = (importance.mean_squares(made, part) for part in (rows[:2], rows))
    assert {values.dtype for values in often} == {torch.float32}
    for values, expected in zip(often, once, strict=True):
        torch.testing.assert_close(values, expected, atol=0, rtol=1e-4)


@pytest.mark.parametrize("name", toy.BACKBONES)
def test_the_sum_of_gradients_is_signed_and_independent_of_batches(name: str, tmp_path: Path) -> None:
    sums = importance.gradient_sum(ssd_trainer(name, tmp_path), np.arange(F))
    for found, *expected in zip(sums, *one_by_one(name, F), strict=True):
        torch.testing.assert_close(found, torch.stack(expected).sum(dim=0), atol=1e-6, rtol=1e-4)


def test_frozen_weights_have_no_importance_and_no_weight_gets_a_gradient(tmp_path: Path) -> None:
    trainer = ssd_trainer("vit", tmp_path)
    trainer.model.vit.requires_grad_(False)
    squares = importance.mean_squares(trainer, np.arange(F))
    assert [one.shape for one in squares] == [weight.shape for weight in trainer.model.classifier.parameters()]
    assert all(weight.grad is None for weight in trainer.model.parameters())


class Softmax(torch.nn.Module):
    """One linear layer without a bias."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(classes, 3, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=x @ self.weight.T)


def linear(classes: int, folder: Path, **changes: Any) -> tuple[Any, torch.Tensor]:
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    rows = [{"x": one, "labels": i % classes} for i, one in enumerate(x)]
    return toy.trainer("fisher", Softmax(classes), toy.split_rows(rows, 2), folder, **changes), x


def closed_form(trainer: Any, x: torch.Tensor) -> torch.Tensor:
    p = (x @ trainer.model.weight.T).softmax(dim=1).detach()
    return torch.einsum("nk,nd->kd", p * (1 - p), x.square()) / len(x)


def test_f19_up_to_20_classes_the_fisher_diagonal_is_exact(tmp_path: Path) -> None:
    trainer, x = linear(20, tmp_path)
    with CostCounter(trainer) as cost:
        (found,), classes = importance.fisher_diagonal(trainer, np.arange(8))
    assert classes == 20
    torch.testing.assert_close(found, closed_form(trainer, x), atol=1e-6, rtol=1e-4)
    assert cost.counts() == {"forward": 8, "backward": 160}


def test_above_20_classes_one_label_is_drawn_by_the_seed_and_right_on_average(tmp_path: Path) -> None:
    trainer, x = linear(21, tmp_path)
    with CostCounter(trainer) as cost:
        (found,), _ = importance.fisher_diagonal(trainer, np.tile(np.arange(8), 40))
    assert cost.counts() == {"forward": 320, "backward": 320}
    expected = closed_form(trainer, x)
    assert float(found.sum() / expected.sum()) == pytest.approx(1, abs=0.03)
    few = [importance.fisher_diagonal(linear(21, tmp_path, seed=s)[0], np.arange(8))[0][0] for s in (3, 3, 4)]
    assert torch.equal(few[0], few[1]) and not torch.equal(few[0], few[2])


def test_the_log_probability_of_an_answer_is_the_sum_over_its_tokens() -> None:
    logits = torch.randn(1, 4, 30, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[IGNORED, 5, 6, IGNORED]])
    ((probability, drawn),) = importance._likely_labels(logits, labels, torch.Generator().manual_seed(0))
    assert probability == 1.0
    assert (drawn == IGNORED).tolist() == (labels == IGNORED).tolist()
    assert not torch.equal(drawn, labels)
    model = torch.nn.Linear(30, 30, bias=False)
    ((_, (found,)),) = importance._label_gradients(model, model(logits), labels, torch.Generator().manual_seed(0))
    loss = torch.nn.functional.cross_entropy(model(logits)[0, 1:3], drawn[0, 1:3], reduction="none")
    (one, two) = (torch.autograd.grad(value, model.weight, retain_graph=True)[0] for value in loss)
    torch.testing.assert_close(found, one + two, atol=1e-6, rtol=1e-4)


def test_predicted_noise_is_a_normal_distribution_around_the_prediction() -> None:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    model = torch.nn.Linear(3, 2, bias=False)
    total = torch.zeros(2, 3)
    for _ in range(3000 // len(x)):
        for one in x.split(1):
            found = importance._label_gradients(model, model(one), torch.zeros(1, 2), GENERATOR)
            ((_, (slope,)),) = found
            total += slope.square() / (3000 // len(x)) / len(x)
    expected = x.square().mean(dim=0).expand(2, 3)  # of unit variance: the mean square of the input
    torch.testing.assert_close(total, expected, atol=0, rtol=0.15)


@pytest.mark.parametrize("measure", [importance.mean_squares, importance.gradient_sum, importance.fisher_diagonal])
def test_t_nan_gradients_that_are_not_finite_are_refused(measure: Any, tmp_path: Path) -> None:
    trainer = toy.trainer("ssd", toy.build("vit"), toy.split_rows(toy.broken("vit", [3])), tmp_path)
    with pytest.raises(NonFiniteError, match="expected finite"):
        measure(trainer, np.arange(F))
