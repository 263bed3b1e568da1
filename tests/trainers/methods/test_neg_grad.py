"""Gradient ascent: the direction of a step, and that no retain set is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mubench.trainers.engine.losses import per_example_loss, shift_labels
from tests.fixtures import toy


def test_a_step_ascends_the_mean_gradient_of_the_forget_set(tmp_path: Path) -> None:
    name = "vit"
    model, data = toy.build(name).train(), toy.rows(name)
    batch = shift_labels(model, toy.collator(name)(data[: toy.FORGET]))
    labels = batch.pop("labels")
    loss = per_example_loss(model(**batch).logits, labels).mean()
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    before = [weight.detach().clone() for weight in model.parameters()]
    toy.trainer("neg_grad", model, toy.split_rows(data), tmp_path, learning_rate=0.01, num_train_epochs=1).train()
    for weight, old, gradient in zip(model.parameters(), before, gradients, strict=True):
        step = torch.zeros_like(old) if gradient is None else 0.01 * gradient
        torch.testing.assert_close(weight.detach(), old + step, atol=1e-6, rtol=1e-5)
    rise = (per_example_loss(model(**batch).logits, labels).mean() - loss).item()
    square = sum(float(gradient.square().sum()) for gradient in gradients if gradient is not None)
    assert rise == pytest.approx(0.01 * square, rel=0.2)


def test_the_retain_set_may_be_missing(tmp_path: Path) -> None:
    name = "vit"
    model, data = toy.build(name), toy.rows(name)
    toy.trainer("neg_grad", model, {"forget": data[: toy.FORGET]}, tmp_path).train()
    assert toy.same(model, toy.snapshot(toy.trained("neg_grad", name, tmp_path)))
