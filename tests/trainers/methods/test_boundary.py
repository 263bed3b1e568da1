"""Boundary shrink and expand, AMUN and UNSIR: the targets of their forget sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.methods import amun
from mubench.trainers.methods.boundary_expand import final_layer
from mubench.trainers.tools.adversarial import NoAdversarialInputError, targets
from mubench.trainers.unlearning.cost_counter import CostCounter
from tests.fixtures import toy

F, R = toy.FORGET, toy.ROWS - toy.FORGET
STEP = {"per_device_train_batch_size": 20, "max_steps": 1, "learning_rate": 0.1}


def prepared(method: str, name: str, folder: Path, **changes: Any) -> Any:
    trainer = toy.trainer(method, toy.build(name), toy.split_rows_for(method, toy.rows(name)), folder, **changes)
    trainer.prepare()
    return trainer


def stepped(model: torch.nn.Module, batch: dict[str, Any], labels: torch.Tensor) -> list[torch.Tensor]:
    """Return weights after one step of .1 down the mean cross-entropy with these labels."""
    loss = per_example_loss(model(**batch).logits, labels).mean()
    slopes = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, materialize_grads=True)
    return [weight.detach() - 0.1 * slope for weight, slope in zip(model.parameters(), slopes, strict=True)]


def test_shrink_labels_are_the_base_models_classes_of_the_perturbed_inputs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = "vit"
    caplog.set_level("INFO")
    trainer = prepared("boundary_shrink", name, tmp_path, epsilon=0.3)
    base = toy.build(name).eval()
    batch = toy.inputs(toy.rows(name)[:F])
    labels = torch.tensor([row["labels"] for row in toy.rows(name)[:F]])
    x = batch["pixel_values"].requires_grad_(True)
    (slope,) = torch.autograd.grad(per_example_loss(base(pixel_values=x).logits, labels).sum(), x)
    low, high = x.detach().flatten(1).amin(dim=1), x.detach().flatten(1).amax(dim=1)
    low, high = (edge.view(-1, 1, 1, 1) for edge in (low, high))
    moved = (x.detach() + 0.3 * (high - low) * slope.sign()).clamp(low, high)
    assert torch.equal(trainer.nearest_classes, base(pixel_values=moved).logits.argmax(dim=1))
    changed = int((trainer.nearest_classes != labels).sum())
    assert changed and f"changed the class of {changed} of {F} forget examples" in caplog.text


def test_shrink_trains_on_those_labels(tmp_path: Path) -> None:
    trainer = prepared("boundary_shrink", "vit", tmp_path, **STEP)
    expected = stepped(toy.build("vit"), toy.inputs(toy.rows("vit")[:F]), trainer.nearest_classes)
    trainer.train()
    for weight, other in zip(trainer.model.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.detach(), other, atol=1e-6, rtol=1e-4)


def test_an_attack_that_changes_no_class_is_an_error(tmp_path: Path) -> None:
    model = toy.build("vit")
    rows = toy.rows("vit")
    with torch.no_grad():
        classes = model.eval()(**toy.inputs(rows)).logits.argmax(dim=1)
    known = [{**row, "labels": int(label)} for row, label in zip(rows, classes, strict=True)]
    with pytest.raises(
        NoAdversarialInputError,
        match="expected forget examples whose class changes within epsilon 1e-09, got none of 6",
    ):
        toy.trainer("boundary_shrink", model, toy.split_rows(known), tmp_path, epsilon=1e-9).train()


@pytest.mark.parametrize("name", toy.BACKBONES)
def test_expanding_keeps_the_logits_and_adds_one_in_training(name: str, tmp_path: Path) -> None:
    trainer = prepared("boundary_expand", name, tmp_path)
    batch = toy.inputs(toy.rows(name))
    wide, old = trainer.model.train()(**batch).logits, toy.build(name).train()(**batch).logits
    assert wide.shape == (toy.ROWS, toy.CLASSES + 1)
    assert torch.equal(wide[:, :-1], old)
    assert trainer.model.eval()(**batch).logits.shape == old.shape


def test_the_forget_set_moves_to_the_shadow_class_which_is_not_exported(tmp_path: Path) -> None:
    name = "vit"
    model = toy.build(name)
    options = {"num_train_epochs": 4, "learning_rate": 0.3}
    trainer = toy.trainer("boundary_expand", model, toy.split_rows(toy.rows(name)), tmp_path, **options)
    logs = []
    terms = trainer.terms
    trainer.terms = lambda *given: [logs.append(term.values.mean().item()) or term for term in terms(*given)]
    trainer.train()
    assert logs[-1] < 0.5 * logs[0]
    assert model.state_dict().keys() == toy.build(name).state_dict().keys()
    assert final_layer(model).weight.shape[0] == toy.CLASSES
    assert model.train()(**toy.inputs(toy.rows(name))).logits.shape[-1] == toy.CLASSES


def test_a_model_without_a_linear_layer_of_its_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a linear layer of K logits to add a class to, got none"):
        final_layer(toy.Table())
    model = toy.build("vit")
    model.config.num_labels = 7
    with pytest.raises(ValueError, match="expected a linear layer of 7 logits to add a class to, got one of 4"):
        final_layer(model)


@pytest.mark.parametrize("own", [True, False])
def test_amun_trains_on_adversarial_inputs_and_on_the_forget_rows_or_not(own: bool, tmp_path: Path) -> None:
    trainer = prepared("amun", "vit", tmp_path, forget_rows=own, **{**STEP, "per_device_train_batch_size": 30})
    labels = torch.tensor([row["labels"] for row in toy.rows("vit")])
    assert (trainer.classes != labels[:F]).all()
    batch = toy.inputs(toy.rows("vit"))
    changed = torch.stack([trainer.inputs[i] for i in trainer.adversarial_rows.tolist()])
    batch["pixel_values"] = torch.cat([changed, batch["pixel_values"][0 if own else F :]])
    expected = stepped(toy.build("vit"), batch, torch.cat([trainer.classes, labels[0 if own else F :]]))
    trainer.train()
    for weight, other in zip(trainer.model.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.detach(), other, atol=1e-6, rtol=1e-4)


def test_amun_has_no_adversarial_input_for_examples_that_keep_their_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def attack(found: int) -> Any:
        monkeypatch.setattr(amun, "nearest_adversarial", lambda target, *_: (
            target.start, target.batch["labels"] + (target.batch["index"] < found).long()
        ))  # fmt: skip
        return prepared("amun", "vit", tmp_path)

    trainer = attack(2)
    assert trainer.phases(0)[0].tolist() == list(range(F + 2 + R))
    assert [trainer.train_dataset[F + i] for i in (0, 1)] == [
        (trainer.train_dataset[i][0], F + i, True) for i in (0, 1)
    ]
    assert f"no adversarial input for 4 of {F} forget examples" in caplog.text
    with pytest.raises(
        NoAdversarialInputError, match=f"expected inputs of another class .*, got none for all {F} examples"
    ):
        attack(0)


def test_the_attack_of_amun_is_counted_and_examples_leave_it_when_they_are_done(tmp_path: Path) -> None:
    name = "vit"
    trainer = toy.trainer(
        "amun", toy.build(name), toy.split_rows(toy.rows(name)), tmp_path, steps=4, num_train_epochs=1
    )
    with CostCounter(trainer) as cost:
        trainer.train()
    attack = cost.forward["student"] - (2 * F + R)
    assert cost.forward == cost.backward and attack >= F
    alone = toy.trainer("amun", toy.build(name), toy.split_rows(toy.rows(name)), tmp_path, steps=4)
    seen: list[int] = []
    logits = alone.logits
    alone.logits = lambda model, batch: seen.append(len(batch["labels"])) or logits(model, batch)
    alone.prepare()
    assert sum(seen) == attack and seen == sorted(seen, reverse=True) and seen[-1] < F


def test_amun_without_its_forget_set_is_fine_tuning(tmp_path: Path) -> None:
    trainer = prepared("amun", "vit", tmp_path, num_train_epochs=1)
    trainer.phases = lambda epoch: [trainer.retain_rows]
    trainer.train()
    assert toy.same(trainer.model, toy.snapshot(toy.trained("finetune", "vit", tmp_path, num_train_epochs=1)))


def test_the_noise_of_unsir_raises_the_error_of_an_unchanged_model(tmp_path: Path) -> None:
    name = "vit"
    trainer = toy.trainer(
        "unsir", toy.build(name), toy.split_rows_for("unsir", toy.rows(name)), tmp_path, noise_decay=0.0
    )
    before = toy.snapshot(trainer.model)
    (target,) = targets(trainer, trainer.forget_rows)
    noise = torch.randn(target.batch["pixel_values"].shape, generator=torch.Generator().manual_seed(0))
    errors = []
    with torch.no_grad():
        errors.append(float(per_example_loss(trainer.model(pixel_values=noise).logits, target.batch["labels"]).mean()))
    trainer.args.noise_steps = 1
    for _ in range(5):
        noise = trainer.train_noise(target, noise)
        with torch.no_grad():
            logits = trainer.model(pixel_values=noise).logits
        errors.append(float(per_example_loss(logits, target.batch["labels"]).mean()))
    assert errors == sorted(errors) and errors[-1] > errors[0] + 0.01
    assert toy.same(trainer.model, before)


def test_the_noise_is_kept_small_by_its_decay(tmp_path: Path) -> None:
    norms = []
    for decay in (0.0, 0.1):
        trainer = prepared("unsir", "vit", tmp_path, noise_decay=decay, noise_steps=10)
        norms.append(float(torch.stack(list(trainer.noise.values())).norm()))
    assert norms[1] < 0.9 * norms[0]


def test_unsir_impairs_on_noise_and_repairs_on_a_subset_of_every_class(tmp_path: Path) -> None:
    trainer = prepared("unsir", "vit", tmp_path, per_class=2)
    impair, repair = trainer.phases(0)
    assert set(repair.tolist()) == set(impair.tolist()) - set(range(F))
    labels = [trainer.train_dataset[int(row)][0]["labels"] for row in repair]
    assert sorted(labels) == [1, 1, 2, 2, 3, 3]
    assert trainer.noise.keys() == set(range(F))
    assert all(noise.shape == (3, 8, 8) for noise in trainer.noise.values())


def test_unsir_trains_on_the_noise_in_place_of_the_forget_set(tmp_path: Path) -> None:
    trainer = prepared("unsir", "vit", tmp_path, **STEP)
    batch = toy.inputs(toy.rows("vit"))
    batch["pixel_values"] = torch.cat([torch.stack([trainer.noise[i] for i in range(F)]), batch["pixel_values"][F:]])
    labels = torch.tensor([trainer.train_dataset[i][0]["labels"] for i in range(toy.ROWS)])
    expected = stepped(toy.build("vit"), batch, labels)
    trainer.train()
    for weight, other in zip(trainer.model.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.detach(), other, atol=1e-6, rtol=1e-4)


def test_unsir_refuses_forgotten_classes_in_the_retain_set(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unsir forgets whole classes: expected none of them .*, got 4, 0 the first"):
        toy.trainer("unsir", toy.build("vit"), toy.split_rows(toy.rows("vit")), tmp_path).train()
