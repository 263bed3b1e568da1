"""Retraining is ordinary training on the retain set, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures import toy


@pytest.mark.parametrize(
    ("name", "forget"),
    [("vit", 0), ("resnet", toy.FORGET), ("gpt2", toy.FORGET)],
)
def test_retraining_is_ordinary_training_on_the_retain_set(name: str, forget: int, tmp_path: Path) -> None:
    data = toy.rows(name)
    options = {"optim": "adamw_torch", "weight_decay": 0.1, "lr_scheduler_type": "linear", "max_grad_norm": 1.0}
    models = [toy.build(name, dropout=0.1, coupled=True) for _ in range(2)]
    ordinary = toy.task_trainer(models[0], data[forget:], tmp_path, **options)
    ordinary.data_collator = toy.collator(name)
    ordinary.train()
    toy.trainer("retrain", models[1], toy.split_rows(data, forget), tmp_path, **options).train()
    assert toy.same(models[0], toy.snapshot(models[1]))
    assert not toy.same(models[0], toy.snapshot(toy.build(name, dropout=0.1, coupled=True)))


def test_the_forget_set_may_be_missing(tmp_path: Path) -> None:
    name = "vit"
    model, data = toy.build(name), toy.rows(name)
    toy.trainer("retrain", model, {"retain": data[toy.FORGET :]}, tmp_path).train()
    assert toy.same(model, toy.snapshot(toy.trained("retrain", name, tmp_path)))
