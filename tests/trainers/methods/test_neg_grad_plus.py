"""NegGrad+ and GradDiff: the pairs of a step, and the relation of their losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fixtures import toy

ALL = range(toy.ROWS)


def prepared(name: str, folder: Path, method: str = "neg_grad_plus", **changes: Any) -> Any:
    return toy.trainer(method, toy.build(name), toy.split_rows(toy.rows(name)), folder, **changes)


def test_graddiff_is_twice_the_loss_at_one_half(tmp_path: Path) -> None:
    trainer = prepared("vit", tmp_path, alpha=0.5, anchor="forget")
    retain = toy.step(prepared("vit", tmp_path, "finetune"), range(toy.FORGET, toy.ROWS))
    forget = toy.step(prepared("vit", tmp_path, "neg_grad"), range(toy.FORGET))
    torch.testing.assert_close(2 * toy.step(trainer, ALL), retain + forget)


@pytest.mark.parametrize(("anchor", "steps"), [("retain", 4), ("forget", 2)])
def test_a_step_holds_as_many_forget_as_retain_examples(anchor: str, steps: int, tmp_path: Path) -> None:
    trainer = prepared("vit", tmp_path, anchor=anchor, per_device_train_batch_size=3)
    epochs = [list(trainer.get_train_dataloader())]
    trainer.get_train_dataloader().set_epoch(1)
    assert len(epochs[0]) == steps
    assert all(int(batch["forget"].sum()) == 3 and len(batch["labels"]) == 6 for batch in epochs[0])
    anchors = torch.cat([batch["index"][batch["forget"] == (anchor == "forget")] for batch in epochs[0]])
    assert sorted(anchors.tolist()) == (list(range(toy.FORGET)) if anchor == "forget" else list(ALL)[toy.FORGET :])
    partners = [trainer.phases(epoch)[0][:, 1].tolist() for epoch in (0, 1)]
    assert partners[0] != partners[1]
