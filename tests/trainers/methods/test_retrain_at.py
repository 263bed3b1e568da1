"""Retraining for a share of the recipe's steps: which steps, at which learning rates, at what cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mubench.trainers.unlearning.cost_counter import CostCounter
from tests.fixtures import toy

R = toy.ROWS - toy.FORGET
# Ten epochs of two steps.
RECIPE: dict[str, Any] = {
    "optim": "adamw_torch", "lr_scheduler_type": "linear", "warmup_steps": 0.5, "num_train_epochs": 10,
}  # fmt: skip


def trained(method: str, folder: Path, **changes: Any) -> tuple[Any, CostCounter]:
    model = toy.build("resnet", coupled=True)
    trainer = toy.trainer(method, model, toy.split_rows(toy.rows("resnet")), folder, **{**RECIPE, **changes})
    with CostCounter(trainer) as cost:
        trainer.train()
    return trainer, cost


def test_the_whole_of_the_recipe_is_retraining(tmp_path: Path) -> None:
    whole, _ = trained("retrain", tmp_path, num_train_epochs=2)
    assert toy.same(
        trained("retrain_at", tmp_path, percent=100, num_train_epochs=2)[0].model, toy.snapshot(whole.model)
    )


@pytest.mark.parametrize(("percent", "steps"), [(1, 1), (20, 4), (25, 5)])
def test_a_share_of_it_is_a_recipe_of_so_many_steps_warm_up_and_decay_included(
    percent: int, steps: int, tmp_path: Path
) -> None:
    short, cost = trained("retrain_at", tmp_path, percent=percent)
    assert short.state.global_step == steps and short.args.max_steps == -1
    assert cost.forward == cost.backward == {"student": steps * R // 2}
    assert toy.same(short.model, toy.snapshot(trained("retrain", tmp_path, max_steps=steps)[0].model))
    assert not toy.same(short.model, toy.snapshot(trained("retrain", tmp_path, max_steps=steps + 1)[0].model))
