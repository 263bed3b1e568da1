"""NegGrad+ and GradDiff: the weighted difference of two gradients, and what they become at either end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mubench.trainers.methods.neg_grad_plus import NegGradPlusArguments
from tests.trainers import toy

ALL = range(toy.ROWS)
NAMES = (*toy.BACKBONES, *toy.WRITERS)


def prepared(name: str, folder: Path, method: str = "neg_grad_plus", **changes: Any) -> Any:
    return toy.trainer(method, toy.build(name), toy.sides(toy.rows(name)), folder, **changes)


def gradient(trainer: Any, rows: Any) -> list[torch.Tensor]:
    trainer.prepare()
    trainer.model.zero_grad()
    toy.step(trainer, rows).backward()
    return [weight.grad.clone() for weight in trainer.model.parameters()]


@pytest.mark.parametrize("name", NAMES)
def test_t_grad_is_alpha_of_one_less_the_rest_of_the_other(name: str, tmp_path: Path) -> None:
    found = gradient(prepared(name, tmp_path, alpha=0.7), ALL)
    retain = gradient(prepared(name, tmp_path, "finetune"), range(toy.FORGET, toy.ROWS))
    forget = gradient(prepared(name, tmp_path, "neg_grad"), range(toy.FORGET))
    for g, r, f in zip(found, retain, forget, strict=True):
        torch.testing.assert_close(g, 0.7 * r + 0.3 * f, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("other", "ends"), [("finetune", {"alpha": 1.0}), ("neg_grad", {"alpha": 0.0, "anchor": "forget"})]
)
@pytest.mark.parametrize("name", ["vit", "gpt2"])
def test_t_id_either_end_is_the_method_of_one_side(
    other: str, ends: dict[str, Any], name: str, tmp_path: Path
) -> None:
    model = toy.trained("neg_grad_plus", name, tmp_path, **ends)
    assert toy.distance(model, toy.snapshot(toy.trained(other, name, tmp_path))) < 1e-6
    assert toy.distance(model, toy.snapshot(toy.build(name))) > 1e-4


def test_graddiff_is_twice_the_loss_at_one_half(tmp_path: Path) -> None:
    trainer = prepared("vit", tmp_path, alpha=0.5, anchor="forget")
    retain = toy.step(prepared("vit", tmp_path, "finetune"), range(toy.FORGET, toy.ROWS))
    forget = toy.step(prepared("vit", tmp_path, "neg_grad"), range(toy.FORGET))
    torch.testing.assert_close(2 * toy.step(trainer, ALL), retain + forget)


@pytest.mark.parametrize(("anchor", "steps"), [("retain", 4), ("forget", 2)])
def test_f18_steps_hold_as_many_rows_of_either_side(anchor: str, steps: int, tmp_path: Path) -> None:
    trainer = prepared("vit", tmp_path, anchor=anchor, per_device_train_batch_size=3)
    epochs = [list(trainer.get_train_dataloader())]
    trainer.get_train_dataloader().set_epoch(1)
    assert len(epochs[0]) == steps
    assert all(int(batch["forget"].sum()) == 3 and len(batch["labels"]) == 6 for batch in epochs[0])
    anchors = torch.cat([batch["index"][batch["forget"] == (anchor == "forget")] for batch in epochs[0]])
    assert sorted(anchors.tolist()) == (list(range(toy.FORGET)) if anchor == "forget" else list(ALL)[toy.FORGET :])
    partners = [trainer.phases(epoch)[0][:, 1].tolist() for epoch in (0, 1)]
    assert partners[0] != partners[1]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"alpha": 1.5}, r"alpha must lie in \[0, 1\], got 1\.5"),
        ({"anchor": "both"}, "anchor must be retain or forget, got 'both'"),
    ],
)
def test_arguments_out_of_range_are_refused(option: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        NegGradPlusArguments(**toy.settings(tmp_path, **option))
