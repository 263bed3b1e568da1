"""Task vector negation: the line through the base model and one fine-tuned on the forget set."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.fixtures import toy


def moved(name: str, folder: Path, alpha: float, *, coupled: bool = True) -> dict[str, torch.Tensor]:
    model = toy.build(name, coupled=coupled)
    toy.trainer("task_vector", model, toy.split_rows(toy.rows(name)), folder, alpha=alpha).train()
    return toy.snapshot(model)


@pytest.mark.parametrize("name", ["resnet", "gpt2"])
def test_alpha_minus_one_is_the_model_fine_tuned_on_the_forget_set(name: str, tmp_path: Path) -> None:
    learned = toy.build(name)
    trainer = toy.task_trainer(learned, toy.rows(name)[: toy.FORGET], tmp_path)
    trainer.data_collator = toy.collator(name)
    trainer.train()
    found = moved(name, tmp_path, -1.0, coupled=False)
    assert toy.distance(learned, found) < 1e-6
    assert toy.distance(toy.build(name), found) > 1e-3


@pytest.mark.parametrize("name", ["vit", "t5"])
def test_the_change_is_linear_in_alpha(name: str, tmp_path: Path) -> None:
    start = {key: weight.detach() for key, weight in toy.build(name).named_parameters()}
    one, three = (moved(name, tmp_path, alpha) for alpha in (1.0, 3.0))
    assert max(float((one[key] - weight).abs().max()) for key, weight in start.items()) > 1e-3
    for key, weight in start.items():
        torch.testing.assert_close(three[key] - weight, 3 * (one[key] - weight), atol=1e-5, rtol=1e-4)


def test_the_loss_of_the_forget_set_rises(tmp_path: Path) -> None:
    batch, labels = toy.inputs(toy.rows("vit")[: toy.FORGET]), [row["labels"] for row in toy.rows("vit")[: toy.FORGET]]
    losses = []
    for model in (toy.build("vit"), toy.trained("task_vector", "vit", tmp_path)):
        with torch.no_grad():
            losses.append(torch.nn.functional.cross_entropy(model.eval()(**batch).logits, torch.tensor(labels)))
    assert losses[1] > losses[0] + 1e-3
