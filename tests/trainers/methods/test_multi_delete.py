"""MultiDelete: its three distances, the mismatched pairs, and the weights that each distance reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mubench.trainers.methods.multi_delete import derangement
from mubench.trainers.tools.truncated_forward import masked_mean, spatial_mean
from tests.fixtures import toy
from tests.fixtures.method_steps import batch

F, R = toy.FORGET, toy.ROWS - toy.FORGET


def prepared(folder: Path, **changes: Any) -> tuple[Any, dict[str, Any]]:
    trainer = toy.trainer("multi_delete", toy.build("vilt"), toy.split_rows(toy.rows("vilt")), folder, **changes)
    trainer.prepare()
    trainer.model.eval()
    return trainer, batch(trainer, range(toy.ROWS))


@pytest.mark.parametrize("count", [2, 3, 50])
def test_a_derangement_has_no_fixed_point(count: int) -> None:
    orders = [derangement(count, np.random.default_rng(seed)) for seed in range(20)]
    for order in orders:
        assert sorted(order) == list(range(count))
        assert (order != np.arange(count)).all()
    assert count == 2 or len({tuple(order) for order in orders}) > 1
    with pytest.raises(ValueError, match="expected 2 forget examples or more, whose texts can be exchanged, got 1"):
        derangement(1, np.random.default_rng(0))


def test_at_the_base_model_only_the_decoupling_distance_is_not_zero(tmp_path: Path) -> None:
    trainer, rows = prepared(tmp_path, alpha=0.5, beta=2.0, gamma=3.0)
    decoupling, retention, unimodal = trainer.terms(trainer.model, rows)
    weights = [(term.split, term.weight, len(term.values)) for term in (decoupling, retention, unimodal)]
    assert weights == [("forget", 0.5, F), ("retain", 2.0, R), ("forget", 3.0, F)]
    torch.testing.assert_close(retention.values, torch.zeros(R), atol=1e-10, rtol=0)
    torch.testing.assert_close(unimodal.values, torch.zeros(F), atol=1e-10, rtol=0)
    assert decoupling.values.min() > 1e-8


def test_only_the_text_is_that_of_another_example(tmp_path: Path) -> None:
    trainer, both = prepared(tmp_path)
    assert trainer.mismatched_batch(both)["index"].tolist() == list(range(toy.ROWS, toy.ROWS + F))
    rows = toy.rows("vilt")[:F]
    others = [
        next(i for i in range(F) if torch.equal(rows[i]["input_ids"], x["input_ids"])) for x in trainer.mismatched
    ]
    assert sorted(others) == list(range(F)) and all(other != i for i, other in enumerate(others))
    for row, other, made in zip(rows, others, trainer.mismatched, strict=True):
        assert torch.equal(made["attention_mask"], rows[other]["attention_mask"])
        assert torch.equal(made["pixel_values"], row["pixel_values"])


def test_the_distance_is_from_the_base_models_state_of_the_mismatched_pair(tmp_path: Path) -> None:
    trainer, rows = prepared(tmp_path)
    given: list[torch.Tensor] = []
    handle = trainer.model.classifier.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    for data in (toy.rows("vilt")[:F], trainer.mismatched):
        trainer.model(**toy.inputs(data))
    handle.remove()
    expected = (given[0] - given[1]).pow(2).mean(dim=1)
    torch.testing.assert_close(trainer.terms(trainer.model, rows)[0].values, expected, atol=1e-8, rtol=1e-4)


@pytest.mark.parametrize(
    ("moved", "reached"),
    [("text_embeddings.word_embeddings", True), ("patch_embeddings.projection", True), ("", False)],
)
def test_the_unimodal_distance_depends_on_the_embeddings_alone(moved: str, reached: bool, tmp_path: Path) -> None:
    trainer, rows = prepared(tmp_path)
    with torch.no_grad():
        name = f"vilt.embeddings.{moved}.weight" if moved else "vilt.encoder.layer.0.attention.output.dense.weight"
        weight = trainer.model.get_parameter(name)
        weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    _, retention, unimodal = trainer.terms(trainer.model, rows)
    assert retention.values.min() > 0
    assert (unimodal.values.min() > 1e-6) == reached


def test_the_head_stays_bit_for_bit(tmp_path: Path) -> None:
    options = {"optim": "adamw_torch", "weight_decay": 0.1, "learning_rate": 0.01}
    model, before = toy.build("vilt"), toy.snapshot(toy.build("vilt"))
    toy.trainer("multi_delete", model, toy.split_rows(toy.rows("vilt")), tmp_path, **options).train()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved and not any(name.startswith("classifier") for name in moved)
    assert all(weight.requires_grad for weight in model.parameters())


def test_training_decouples_forget_pairs_and_keeps_retain_pairs(tmp_path: Path) -> None:
    trainer, rows = prepared(tmp_path, optim="adamw_torch", learning_rate=0.01, num_train_epochs=12)
    before = [float(term.values.detach().mean()) for term in trainer.terms(trainer.model, rows)]
    trainer.train()
    trainer.model.eval()
    after = [float(term.values.detach().mean()) for term in trainer.terms(trainer.model, rows)]
    assert after[0] < 0.7 * before[0]
    assert after[1] < before[0] / 2


def test_means_leave_padding_out() -> None:
    states = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [90.0, 90.0]]])
    torch.testing.assert_close(masked_mean(states, torch.tensor([[1, 1, 0]])), torch.tensor([[2.0, 3.0]]))
    picture = torch.tensor([[[[1.0, 2.0], [90.0, 90.0]]]])
    mask = torch.tensor([[[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]])
    torch.testing.assert_close(spatial_mean(picture, mask, 0), torch.tensor([[1.5]]))
    torch.testing.assert_close(spatial_mean(picture, torch.stack([mask * 0 + 1, mask], 1), 1), torch.tensor([[1.5]]))
    torch.testing.assert_close(spatial_mean(picture, None, 0), torch.tensor([[183 / 4]]))
    torch.testing.assert_close(spatial_mean(states, None, 0), states.mean(1))
