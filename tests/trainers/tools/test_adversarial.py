"""Adversarial inputs: scale, size, change of the predicted class, and an unchanged model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mubench.trainers.tools.adversarial import (
    NoAdversarialInputError,
    Scale,
    Target,
    continuous_input,
    nearest_adversarial,
    replace_inputs,
    signed_step,
    targets,
)
from tests.fixtures import toy

F = toy.FORGET
PROCESSOR = SimpleNamespace(do_normalize=True, image_mean=[0.5, 0.4, 0.3], image_std=[0.5, 0.25, 0.2])
IMAGE_MODELS = ("resnet", "vit", "vilt")


def forget_target(name: str, folder: Path, processor: Any = None, model: Any = None) -> Target:
    """Return forget rows as a target."""
    trainer = toy.trainer("amun", model or toy.build(name), toy.split_rows(toy.rows(name)), folder)
    trainer.processing_class = processor
    (target,) = targets(trainer, trainer.forget_rows)
    return target


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (2, 5, 3, 4, 4)])
def test_pixels_have_the_scale_of_the_image(shape: tuple[int, ...]) -> None:
    pixels = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (PROCESSOR.image_mean, PROCESSOR.image_std))
    inputs = (pixels - mean) / deviation
    scale = Scale.of(inputs, PROCESSOR)
    assert scale.is_pixels
    torch.testing.assert_close(scale.to_unit(inputs), pixels)
    torch.testing.assert_close(scale.from_unit(pixels), inputs)


@pytest.mark.parametrize("processor", [None, SimpleNamespace(do_normalize=True)])
def test_other_inputs_have_the_scale_of_the_example(processor: Any) -> None:
    audio = torch.tensor([[-1.0, 3.0, 1.0], [5.0, 5.0, 5.0]])
    scale = Scale.of(audio, processor)
    assert not scale.is_pixels
    assert scale.to_unit(audio).tolist() == [[0.0, 1.0, 0.5], [0.0, 0.0, 0.0]]
    assert torch.equal(scale.from_unit(scale.to_unit(audio)), audio)


def test_there_is_exactly_one_continuous_input() -> None:
    batch = {"pixel_values": torch.zeros(1), "input_ids": torch.zeros(1).long(), "labels": torch.zeros(1)}
    assert continuous_input(batch) == "pixel_values"
    with pytest.raises(ValueError, match=r"expected one continuous input .*, got none among input_ids"):
        continuous_input({"input_ids": batch["input_ids"]})
    with pytest.raises(ValueError, match="got pixel_values, more among pixel_values, more"):
        continuous_input({"pixel_values": torch.zeros(1), "more": torch.zeros(1)})


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_a_signed_step_is_within_epsilon_and_raises_the_loss(name: str, tmp_path: Path) -> None:
    target = forget_target(name, tmp_path)
    moved = signed_step(target, 0.01)
    assert float((moved - target.start).abs().max()) <= 0.01 + 1e-6
    assert float(moved.min()) >= 0 and float(moved.max()) <= 1
    labels = target.batch["labels"]
    with torch.no_grad():
        torch.manual_seed(0)  # ViLT draws the order of its patches
        after, before = (
            torch.nn.functional.cross_entropy(target.logits(unit), labels) for unit in (moved, target.start)
        )
    assert float(after) > float(before)


def test_a_step_on_pixels_ends_on_a_level_within_epsilon(tmp_path: Path) -> None:
    pixels = torch.randint(0, 256, (F, 3, 8, 8), generator=torch.Generator().manual_seed(0)) / 255
    target = forget_target("resnet", tmp_path, PROCESSOR)
    target.batch["pixel_values"] = Scale.of(pixels, PROCESSOR).from_unit(pixels)
    moved = signed_step(target, 0.1)
    torch.testing.assert_close(moved * 255, (moved * 255).round())
    assert 0.09 < float((moved - pixels).abs().max()) <= 0.1
    assert ((moved - pixels).abs() > 0.05).float().mean() > 0.8


@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_the_nearest_inputs_are_of_another_class_and_misclassified_ones_unchanged(name: str, tmp_path: Path) -> None:
    target = forget_target(name, tmp_path)
    start, labels = target.start, target.batch["labels"]
    unit, classes = nearest_adversarial(target, 0.02, 10)
    assert (classes != labels).all()
    assert float(unit.min()) >= 0 and float(unit.max()) <= 1
    with torch.no_grad():
        known = target.logits(start).argmax(dim=1) == labels
        assert torch.equal(target.logits(unit).argmax(dim=1), classes)
    far = (unit - start).flatten(1).norm(dim=1)
    assert torch.equal(far > 0, known)
    assert known.any()


class Slope(torch.nn.Module):
    """Two classes with a plane as their boundary, so that the nearest input of the other class is known."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]) / 5)

    def forward(self, x: torch.Tensor) -> SimpleNamespace:
        score = x @ self.weight - 0.7
        return SimpleNamespace(logits=torch.stack([-score, score], dim=1))


@pytest.mark.parametrize("radius", [0.01, 0.3])
def test_on_a_plane_the_nearest_input_is_just_beyond_it(radius: float, tmp_path: Path) -> None:
    x = torch.tensor([[0.2, 0.3], [0.5, 0.4], [0.1, 0.1]])
    trainer = toy.trainer("amun", Slope(), toy.split_rows([{"x": one, "labels": 0} for one in x] * 2, 3), tmp_path)
    batch = {"x": x, "labels": torch.zeros(3).long()}
    target = Target(trainer, batch, "x", Scale(torch.zeros(2), torch.ones(2), is_pixels=True))
    unit, classes = nearest_adversarial(target, radius, 50)
    assert classes.tolist() == [1, 1, 1]
    gap = 0.7 - x @ trainer.model.weight.detach()
    far = (unit - x).norm(dim=1)
    step = 2.5 * max(radius, 2 * float(gap.max())) / 50
    assert ((far >= gap - 1e-6) & (far <= gap + step)).all()


def test_rows_without_a_near_input_are_left_out_or_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = toy.build("vit")
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([9.0, 0.0, 0.0, 0.0]))
    target = forget_target("vit", tmp_path, model=model)
    unit, classes = nearest_adversarial(target, 1.0, 2)
    assert not classes.any()  # the model predicts 0 for every row
    assert torch.equal(unit, target.start)
    rows = toy.rows("vit")
    trainer = toy.trainer("amun", model, toy.split_rows(rows), tmp_path, num_train_epochs=1)
    trainer.prepare()
    stuck = [i for i, row in enumerate(rows[:F]) if row["labels"] == 0]
    assert 0 < len(stuck) < F and f"no adversarial input for {len(stuck)} of {F} forget" in caplog.text
    found = [trainer.train_dataset[row][0] for row in trainer.adversarial_rows.tolist()]
    assert [row["labels"] for row in found] == [row["labels"] for row in rows[:F] if row["labels"]]
    same = [{**row, "labels": 0} for row in rows]
    with pytest.raises(NoAdversarialInputError, match=f"got none for all {F}"):
        toy.trainer("amun", model, toy.split_rows(same), tmp_path).train()


@pytest.mark.parametrize("attack", [lambda t: signed_step(t, 0.1), lambda t: nearest_adversarial(t, 0.1, 3)])
def test_the_model_is_frozen_in_eval_mode_and_restored(attack: Any, tmp_path: Path) -> None:
    model = toy.build("resnet", coupled=True)
    model.classifier.requires_grad_(False)
    before, modes = toy.snapshot(model), [module.training for module in model.modules()]
    needed = [weight.requires_grad for weight in model.parameters()]
    trainer = toy.trainer("amun", model, toy.split_rows(toy.rows("resnet")), tmp_path)
    for target in targets(trainer, np.arange(F)):
        assert not any(weight.requires_grad for weight in model.parameters())
        attack(target)
    assert toy.same(model, before)
    assert [module.training for module in model.modules()] == modes
    assert [weight.requires_grad for weight in model.parameters()] == needed
    assert all(weight.grad is None for weight in model.parameters())


def test_rows_get_their_own_input_with_any_padding() -> None:
    batch = {"x": torch.zeros(3, 4), "index": torch.tensor([7, 2, 5]), "labels": torch.zeros(3)}
    found = replace_inputs(batch, {2: torch.arange(1.0, 7.0), 5: torch.tensor([9.0, 8.0])})
    assert found["x"].tolist() == [[0, 0, 0, 0], [1, 2, 3, 4], [9, 8, 0, 0]]
    assert not batch["x"].any() and found["index"] is batch["index"]
