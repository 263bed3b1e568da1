"""Augmentation of training rows: the same whatever the batches and processes, and never of rows that are evaluated."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mubench.hub_builders.hub.model_folder import read_run
from mubench.trainers.engine.batches import RANDOM_NUMBERS, StepBatchSampler
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.engine.task_trainer import TaskTrainer
from mubench.trainers.evaluation.group import find_group
from mubench.trainers.inference.storage import read_outputs
from mubench.trainers.methods import METHODS
from mubench.trainers.models.base_models import train_base
from mubench.trainers.models.modalities.image_classification import ImageModality
from mubench.trainers.runs.plan import resolve
from mubench.trainers.sweeps.jobs import QUIET
from mubench.trainers.unlearning.cost_counter import CostCounter
from tests.fixtures import toy
from tests.fixtures.few import few_rows
from tests.fixtures.walk import COUNTS, FORGET, RATIO, Walk

ADAM: dict[str, Any] = {"optim": "adamw_torch", "learning_rate": 0.01}
ON = {"augment": True}


def base(folder: Path, name: str = "vit", **changes: Any) -> TaskTrainer:
    """Return a trainer of a base model that has been trained."""
    made = toy.task_trainer(toy.build(name), toy.rows(name), folder, **changes)
    made.train()
    return made


def test_rows_are_augmented_by_the_seed_and_only_where_augment_is_on(tmp_path: Path) -> None:
    plain, one, again = (base(tmp_path, augment=augment).model for augment in (False, True, True))
    assert toy.same(one, toy.snapshot(again))
    assert toy.distance(one, toy.snapshot(plain)) > 1e-5
    args = TaskArguments(**toy.settings(tmp_path))
    without = TaskTrainer(model=toy.build("vit"), args=args, train_dataset=toy.rows("vit"))
    without.train()
    assert toy.same(plain, toy.snapshot(without.model))


def numbers(folder: Path, **changes: Any) -> list[torch.Tensor]:
    """Return the random numbers of every row of every step of a run."""
    found = []
    made = toy.task_trainer(toy.build("vit"), toy.rows("vit"), folder, augment=True, **changes)
    plain = made.transform

    def recorded(batch: Any, own: torch.Tensor) -> dict[str, Any]:
        assert plain is not None
        found.append(own.clone())
        return plain(batch, own)

    made.transform = recorded
    made.train()
    return found


def test_rows_steps_and_seeds_have_random_numbers_of_their_own(tmp_path: Path) -> None:
    one, other = (torch.cat(numbers(tmp_path, seed=seed)) for seed in (0, 1))
    assert one.shape == (2 * toy.ROWS, 3)
    assert len({*one.flatten().tolist(), *other.flatten().tolist()}) == 4 * 3 * toy.ROWS
    assert float(one.min()) >= 0 and float(one.max()) < 1


def test_accumulation_changes_nothing(tmp_path: Path) -> None:
    cut = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    assert torch.equal(torch.cat(numbers(tmp_path)), torch.cat(numbers(tmp_path, **cut)))
    whole, parts = (base(tmp_path, augment=True, **changes).model for changes in ({}, cut))
    assert toy.distance(whole, toy.snapshot(parts)) < 1e-6


def test_processes_get_the_random_numbers_of_their_rows() -> None:
    def plan(rank: int, **share: int) -> list[list[int]]:
        made = StepBatchSampler(lambda _: [np.arange(23)], epochs=1, rows_per_step=23, rank=rank, **share)
        return list(made)

    def random_numbers(sizes: list[int], all_sizes: list[list[int]], rank: int) -> torch.Tensor:
        trainer: Any = SimpleNamespace(
            args=SimpleNamespace(world_size=len(all_sizes), process_index=rank),
            accelerator=SimpleNamespace(gather=lambda own: torch.tensor(all_sizes)),
            state=SimpleNamespace(global_step=4),
            data_seed=7,
        )
        return torch.cat(TaskTrainer._random_numbers(trainer, sizes, torch.device("cpu")))

    (alone,) = plan(0)
    expected = dict(zip(alone, random_numbers([23], [[23]], 0).tolist(), strict=True))
    shares = [plan(rank, world_size=2, micro_batches=3) for rank in (0, 1)]
    sizes = [[len(part) for part in share] for share in shares]
    assert sizes[0] != sizes[1]
    for rank, share in enumerate(shares):
        rows = [row for part in share for row in part]
        assert dict(zip(rows, random_numbers(sizes[rank], sizes, rank).tolist(), strict=True)) == {
            row: expected[row] for row in rows
        }


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path) -> None:
    options = {"save_strategy": "steps", "save_steps": 2, "num_train_epochs": 3, "augment": True, **ADAM}

    def run(folder: Path) -> TaskTrainer:
        return toy.task_trainer(toy.build("vit"), toy.rows("vit"), folder, **options)

    toy.check_resume(run, tmp_path, lambda _: 5)


def test_retraining_without_forget_rows_is_training(tmp_path: Path) -> None:
    data = {"forget": [], "retain": toy.rows("vit")}
    retrained = toy.trainer("retrain", toy.build("vit"), data, tmp_path, augment=True, **ADAM)
    retrained.train()
    assert toy.same(retrained.model, toy.snapshot(base(tmp_path, augment=True, **ADAM).model))


# Rows outside training


def test_evaluation_and_batches_outside_training_are_not_augmented(tmp_path: Path) -> None:
    losses, found = [], []
    for augment in (False, True):
        data = toy.split_rows(toy.rows("vit"))
        made = toy.trainer(
            "finetune", toy.build("vit"), data, tmp_path, augment=augment, given={"eval_dataset": data["retain"]}
        )
        losses.append(made.evaluate()["eval_loss"])
        found.append(list(made.batches(made.train_dataset)))
        assert (made.transform is None) is not augment
    assert losses[0] == losses[1]
    for plain, other in zip(*found, strict=True):
        assert RANDOM_NUMBERS not in other and plain.keys() == other.keys()
        assert all(torch.equal(plain[name], other[name]) for name in plain)


def test_the_evaluation_after_every_epoch_is_not_augmented(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    histories = []
    for augment in (False, True):
        rows = toy.rows("vit")
        options = {"augment": augment, "eval_each_epoch": True, "learning_rate": 0.0}
        given = {"eval_dataset": {"validation": rows[:4]}}
        made = toy.trainer("finetune", toy.build("vit"), toy.split_rows(rows), tmp_path, given=given, **options)
        made.train()
        histories.append(made.history())
    assert histories[0] == histories[1] and len(histories[0]) == 2
    capsys.readouterr()


# Teachers

F, R, E = toy.FORGET, toy.ROWS - toy.FORGET, 2
LIVE = {"scrub": E * F + (E + 1) * R, "delete": E * F}


@pytest.mark.parametrize("method", LIVE)
def test_teachers_run_on_every_augmented_row(method: str, tmp_path: Path) -> None:
    models = []
    for remember in (True, False):
        made = toy.trainer(
            method, toy.build("vit"), toy.split_rows(toy.rows("vit")), tmp_path, augment=True, remember=remember
        )
        with CostCounter(made) as cost:
            made.train()
        assert sum(count for name, count in cost.forward.items() if name != "student") == LIVE[method]
        assert not made.teacher_cache.outputs
        models.append(made.model)
    assert toy.same(models[0], toy.snapshot(models[1]))


def test_a_teacher_gets_the_rows_that_the_student_gets(tmp_path: Path) -> None:
    made = toy.trainer("delete", toy.build("vit"), toy.split_rows(toy.rows("vit")), tmp_path, augment=True)
    seen: dict[str, list[torch.Tensor]] = {"student": [], "teacher": []}

    def recorder(name: str) -> Any:
        return lambda _, args, inputs: seen[name].append(inputs["pixel_values"].clone())

    made.model.register_forward_pre_hook(recorder("student"), with_kwargs=True)
    frozen = made.frozen_original

    def hooked() -> torch.nn.Module:
        teacher: torch.nn.Module = frozen()
        teacher._forward_pre_hooks.clear()
        teacher._forward_pre_hooks_with_kwargs.clear()
        teacher.register_forward_pre_hook(recorder("teacher"), with_kwargs=True)
        return teacher

    made.frozen_original = hooked
    made.train()
    assert seen["teacher"]
    for student, teacher in zip(seen["student"], seen["teacher"], strict=True):
        assert torch.equal(student, teacher)
    rows = [row["pixel_values"] for row in toy.rows("vit")]
    assert sum(any(torch.equal(one, row) for row in rows) for part in seen["teacher"] for one in part) < E * F


def test_images_with_mismatched_words_are_augmented_like_their_row(tmp_path: Path) -> None:
    made = toy.trainer("multi_delete", toy.build("vilt"), toy.split_rows(toy.rows("vilt")), tmp_path, augment=True)
    made.prepare()
    made.model.train()
    items = [made.train_dataset[row] for row in (0, 9, 3)]
    (batch,), _ = made.get_batch_samples(iter([made.train_collator(items)]), 1, torch.device("cpu"))
    prepared = made._prepare_inputs(batch)
    other = made.mismatched_batch(prepared)
    assert torch.equal(other["pixel_values"], prepared["pixel_values"][[0, 2]])
    assert not torch.equal(other["pixel_values"], batch["pixel_values"][[0, 2]])


# What is refused and recorded


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in METHODS if toy.name_for(name) in ("vit", "resnet", "vilt")])
def test_every_method_of_images_trains_on_augmented_rows_or_refuses_them(method: str, tmp_path: Path) -> None:
    name = toy.name_for(method)
    options = {"num_train_epochs": 1, **toy.smooth(method)}
    if toy.edits(method):
        with pytest.raises(ValueError, match=r"expected no augment, since .* edits weights and trains none; got it"):
            toy.trained(method, name, tmp_path, augment=True, **options)
        return
    plain, changed = (toy.trained(method, name, tmp_path, augment=augment, **options) for augment in (False, True))
    assert not toy.same(plain, toy.snapshot(changed))


def test_a_method_that_trains_nothing_refuses_augmentation(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected no augment, since SsdTrainer edits weights and trains none; got"):
        toy.trainer("ssd", toy.build("vit"), toy.split_rows(toy.rows("vit")), tmp_path, augment=True)


def test_augmentation_needs_a_transform(tmp_path: Path) -> None:
    args = TaskArguments(**toy.settings(tmp_path, augment=True))
    with pytest.raises(ValueError, match=r"^expected transform= to augment training batches with, got none$"):
        TaskTrainer(model=toy.build("vit"), args=args, train_dataset=toy.rows("vit"))


@pytest.mark.slow
def test_augmentation_is_recorded_only_where_it_is_on(walked: Walk) -> None:
    plain, off, on = (resolve(walked.request("scrub", arguments=given)).run for given in ({}, {"augment": False}, ON))
    assert plain == off and "augment" not in plain.arguments
    assert on.arguments == {**plain.arguments, **ON} and on.identity != plain.identity


@pytest.mark.slow
def test_base_and_retrained_models_record_augmentation(own_walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    change = ImageModality.train_transform

    def recorded(batch: Any, own: torch.Tensor) -> dict[str, Any]:
        rows.append(len(batch["labels"]))
        return change(batch, own)

    monkeypatch.setattr(ImageModality, "train_transform", staticmethod(recorded))
    plain = read_run(own_walk.base())
    folder = own_walk.base(**QUIET, **ON)
    assert read_run(folder).arguments == ON and read_run(folder).identity != plain.identity
    assert sum(rows) == 2 * COUNTS["train"], "two passes over the training rows, and no row that was only evaluated"
    rows.clear()
    made = own_walk.unlearn("retrain", arguments=ON)
    assert read_run(made).arguments["augment"] is True and made.name != "cifar10-mini-resnet-del10-retrain-s0"
    assert sum(rows) == 2 * (COUNTS["train"] - FORGET)
    group = find_group(own_walk.setting(), RATIO, own_walk.models)
    assert {folder, made}.isdisjoint({*group.bases.values(), *group.retrained.values()})


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["vit", "wav2vec2", "whisper", "videomae", "vilt"])
def test_every_kind_with_a_transform_is_trained_with_it(
    backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting, models = few_rows(monkeypatch, backbone, tmp_path, epochs=1), tmp_path / "models"
    outputs = {}
    for on in ({}, ON):
        folder = train_base(setting, 0, models=models, **QUIET, **on)
        assert read_run(folder).arguments == on
        outputs[len(on)] = read_outputs(folder / "reference")["test"]
    assert not np.array_equal(outputs[0].logits, outputs[1].logits)
    assert np.isfinite(outputs[1].logits).all()
