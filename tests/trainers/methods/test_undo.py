"""UNDO: another method unlearns, noise is added, and the result is distilled on the retain set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mubench.trainers.engine.losses import kl
from mubench.trainers.methods.undo import FIRST, add_noise
from tests.fixtures import toy
from tests.fixtures.method_steps import batch

F, R = toy.FORGET, toy.ROWS - toy.FORGET


def undo(name: str, folder: Path, **changes: Any) -> Any:
    options = {"first_rate": 0.05, "first_epochs": 2, "num_train_epochs": 1, **changes}
    return toy.trainer("undo", toy.build(name), toy.split_rows(toy.rows(name)), folder, **options)


def test_matrices_are_blended_with_xavier_noise_and_norms_and_biases_shrink() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(300, 100), torch.nn.LayerNorm(100))
    before = toy.snapshot(model)
    add_noise(model, 0.4, 0.5, torch.Generator().manual_seed(0))
    noise = (model[0].weight.detach() - 0.6 * before["0.weight"]) / (0.4 * 0.5)
    assert abs(float(noise.std()) - (2 / 400) ** 0.5) < 1e-3
    assert abs(float(noise.mean())) < 3e-3
    for key in ("0.bias", "1.weight", "1.bias"):
        torch.testing.assert_close(model.state_dict()[key], 0.6 * before[key])


@pytest.mark.parametrize("first", FIRST)
def test_without_noise_it_is_the_other_method(first: str, tmp_path: Path) -> None:
    trainer = undo("vit", tmp_path, first=first, alpha=0.0)
    trainer.train()
    alone = toy.trained(first, "vit", tmp_path, num_train_epochs=2)
    assert toy.distance(alone, toy.snapshot(toy.build("vit"))) > 1e-4
    assert toy.same(trainer.teachers["suppressed"], toy.snapshot(alone))
    assert toy.distance(trainer.model, toy.snapshot(alone)) < 1e-6


@pytest.mark.parametrize("name", ["resnet", "gpt2"])
def test_the_loss_is_the_divergence_of_the_retain_set_from_the_unlearned_model(name: str, tmp_path: Path) -> None:
    trainer = undo(name, tmp_path)
    trainer.prepare()
    trainer.model.eval()
    rows = batch(trainer, range(toy.ROWS))
    (term,) = trainer.terms(trainer.model, rows)
    inputs = toy.inputs(toy.rows(name)[F:]) if name == "resnet" else toy.inputs(toy.rows(name))
    with torch.no_grad():
        now, then = (model(**inputs).logits[-R:] for model in (trainer.model, trainer.teachers["suppressed"]))
    assert (term.split, term.weight) == ("retain", 1.0)
    torch.testing.assert_close(term.values, kl(now, then, rows["labels"][F:]), atol=1e-5, rtol=1e-3)
    assert term.values.min() > 0


def test_distillation_restores_the_outputs_on_the_retain_set(tmp_path: Path) -> None:
    losses = {}
    for rate in (0.0, 0.01):
        options = {"optim": "adamw_torch", "learning_rate": rate, "num_train_epochs": 8, "beta": 1.0}
        trainer = undo("vit", tmp_path, **options)
        trainer.train()
        trainer.model.eval()
        losses[rate] = float(
            trainer.terms(trainer.model, batch(trainer, trainer.retain_rows))[0].values.detach().mean()
        )
    assert losses[0.01] < 0.6 * losses[0.0]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_in_half_precision_the_teacher_is_a_model_of_its_own(tmp_path: Path) -> None:
    trainer = undo("vit", tmp_path, bf16=True)
    trainer.train()
    teacher, rows = trainer.teachers["suppressed"], toy.inputs(toy.rows("vit"))
    logits = teacher(**rows).logits
    with torch.no_grad():
        for weight in trainer.model.parameters():
            weight.zero_()
    assert torch.equal(teacher(**rows).logits, logits)
