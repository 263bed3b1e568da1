"""The saliency mask: exact, from all forget rows at the original weights, and respected to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mubench.trainers.engine.batches import model_inputs
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.engine.losses import per_example_loss, shift_labels
from mubench.trainers.tools.importance import top_share
from tests.fixtures import toy

ADAMW = {"optim": "adamw_torch", "weight_decay": 0.1, "learning_rate": 0.01, "max_grad_norm": 1.0}


def prepared(name: str, folder: Path, data: Any = None, **changes: Any) -> Any:
    trainer = toy.trainer("salun", toy.build(name), toy.split_rows(data or toy.rows(name)), folder, **changes)
    trainer.prepare()
    return trainer


def expected_saliency(name: str) -> torch.Tensor:
    """Return the gradient of the loss of true labels, answers and captions, summed over forget rows."""
    model = toy.build(name).eval()
    batch = shift_labels(model, toy.collator(name)(toy.rows(name)[: toy.FORGET]))
    per_example_loss(model(**model_inputs(batch)).logits, batch["labels"]).sum().backward()
    return torch.cat(
        [torch.zeros_like(w).flatten() if w.grad is None else w.grad.flatten() for w in model.parameters()]
    )


@pytest.mark.parametrize("share", [0.0, 0.1, 0.29, 0.5, 1.0])
def test_exactly_the_floor_of_the_share_is_marked_ties_by_index(share: float) -> None:
    tied = [torch.zeros(10, 5), torch.full((50,), 2.0)]
    first, second = top_share(tied, share)
    count = int(round(share * 100, 6))
    assert (first.shape, second.shape, first.dtype) == ((10, 5), (50,), torch.bool)
    assert int(first.sum() + second.sum()) == count
    assert second[: min(count, 50)].all() and not second[count:].any()
    assert first.flatten()[: max(count - 50, 0)].all()


def test_the_ranking_is_global() -> None:
    masks = top_share([torch.tensor([5.0, 4.0, 3.0]), torch.tensor([[1.0], [2.0]])], 0.6)
    assert [mask.flatten().tolist() for mask in masks] == [[True, True, True], [False, False]]


def test_a_saliency_that_is_not_finite_is_refused() -> None:
    with pytest.raises(NonFiniteError, match="expected finite saliency"):
        top_share([torch.tensor([1.0, float("nan")])], 0.5)


@pytest.mark.parametrize(("name", "size"), [("resnet", 4), ("vit", 1), ("vit", 6), ("gpt2", 4), ("diffusion", 4)])
def test_the_saliency_does_not_depend_on_the_batch_size(name: str, size: int, tmp_path: Path) -> None:
    trainer = prepared(name, tmp_path, per_device_train_batch_size=size)
    saliency = torch.cat([value.flatten() for value in trainer.saliency()])
    torch.testing.assert_close(saliency, expected_saliency(name).abs(), atol=1e-6, rtol=1e-4)
    assert all(weight.grad is None for weight in trainer.model.parameters())


@pytest.mark.parametrize("name", ["bert", "t5"])
def test_the_share_is_of_all_weights_and_of_the_largest_saliency(name: str, tmp_path: Path) -> None:
    trainer = prepared(name, tmp_path, rho=0.3)
    total = sum(weight.numel() for weight in trainer.model.parameters())
    moving = ~torch.cat([mask.unpack().flatten() for mask in trainer.frozen_masks])
    assert (len(moving), int(moving.sum())) == (total, total * 3 // 10)
    saliency = torch.cat([value.flatten() for value in trainer.saliency()])
    assert saliency[moving].min() >= saliency[~moving].max()


@pytest.mark.parametrize("name", ["vit", "gpt2"])
def test_weight_decay_leaves_the_frozen_weights(name: str, tmp_path: Path) -> None:
    trainer = prepared(name, tmp_path, rho=0.5, **ADAMW)
    before = [weight.detach().clone() for weight in trainer.weights]
    trainer.train()
    total = sum(weight.numel() for weight in before)
    staying, moved = 0, 0
    for weight, old, packed in zip(trainer.weights, before, trainer.frozen_masks, strict=True):
        mask = packed.unpack()
        assert torch.equal(weight[mask], old[mask])
        staying += int(mask.sum())
        moved += int((weight != old).sum())
    assert staying == total - total // 2
    assert moved > 0.9 * (total // 2)


def test_the_clipped_norm_is_that_of_the_trained_weights(tmp_path: Path) -> None:
    rows = toy.split_rows(toy.table_rows())
    options = {"rho": 0.5, "max_grad_norm": 1e9, "logging_strategy": "steps", "logging_steps": 1, "max_steps": 1}
    model = toy.Table()
    before = model.table.detach().clone()
    trainer = toy.trainer("salun", model, rows, tmp_path, learning_rate=1.0, **options)
    trainer.train()
    norm = (model.table - before).norm().item()
    assert norm > 0
    assert trainer.state.log_history[0]["grad_norm"] == pytest.approx(norm, rel=1e-5)


def test_the_mask_is_never_read_from_the_folder(tmp_path: Path) -> None:
    data = toy.rows("vit")
    first = prepared("vit", tmp_path, data, num_train_epochs=1)
    first.train()
    second = prepared("vit", tmp_path, data[::-1])
    assert any(not torch.equal(a.bits, b.bits) for a, b in zip(first.frozen_masks, second.frozen_masks, strict=True))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_frozen_weights_are_not_counted(tmp_path: Path) -> None:
    model = toy.build("vit")
    model.vit.requires_grad_(False)
    trainer = toy.trainer("salun", model, toy.split_rows(toy.rows("vit")), tmp_path)
    trainer.train()
    assert (
        sum(int((~mask.unpack()).sum()) for mask in trainer.frozen_masks) == model.classifier.weight.numel() // 2 + 2
    )
    assert {
        key for key, value in toy.build("vit").state_dict().items() if not torch.equal(value, model.state_dict()[key])
    }
