"""`TaskTrainer`: exact averaging, exact resume, plain evaluation and the non-finite stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mubench.trainers.engine.checkpointing import COMPLETE, last_checkpoint
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.engine.losses import Term, per_example_loss
from mubench.trainers.engine.parameters import synchronize_batch_norm
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.engine.task_trainer import TaskTrainer
from tests.fixtures import toy


def mean_loss(model: torch.nn.Module, data: list[dict[str, Any]], collate: Any) -> float:
    batch = collate(data)
    labels = batch.pop("labels")
    with torch.no_grad():
        return float(per_example_loss(model.eval()(**batch).logits, labels).mean())


# Resume


@pytest.mark.parametrize(("name", "step"), [("resnet", 5), ("vit", 6)])
def test_a_resumed_run_is_the_uninterrupted_one(name: str, step: int, tmp_path: Path) -> None:
    options = {"save_strategy": "steps", "save_steps": 2, "num_train_epochs": 3, "optim": "adamw_torch"}

    def run(folder: Path) -> TaskTrainer:
        model = toy.build(name, dropout=0.2, coupled=True)
        return toy.task_trainer(model, toy.rows(name), folder, **options)

    toy.check_resume(run, tmp_path, lambda _: step)


def test_the_last_checkpoint_is_the_newest_that_was_finished(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    for step, finished in ((9, True), (10, True), (11, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if finished:
            (tmp_path / f"checkpoint-{step}" / COMPLETE).touch()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_a_user_resumes_from_the_newest_checkpoint_that_is_whole(tmp_path: Path) -> None:
    """As with `transformers.Trainer`: the same script again, with ``resume_from_checkpoint=True``."""

    def scrub(folder: Path) -> Any:
        options = {"save_strategy": "steps", "save_steps": 2, "optim": "adamw_torch", "lr_scheduler_type": "linear"}
        return toy.trainer("scrub", toy.build("vit", dropout=0.2), toy.split_rows(toy.rows("vit")), folder, **options)

    with pytest.raises(ValueError, match=r"^expected a whole checkpoint in .* to resume from, got none$"):
        scrub(tmp_path / "none").train(resume_from_checkpoint=True)
    whole = scrub(tmp_path / "whole")
    whole.train()
    cut = scrub(tmp_path / "cut")
    cut.add_callback(toy.KillAt(3))
    with pytest.raises(toy.Killed):
        cut.train()
    (tmp_path / "cut" / "checkpoint-3").mkdir()  # the process was killed while it wrote this one
    resumed = scrub(tmp_path / "cut")
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == whole.state.global_step > 3
    end = toy.snapshot(whole.model)
    assert toy.distance(resumed.model, end) < 1e-6 < toy.distance(cut.model, end)


# Averaging


class Decayed(TaskTrainer):
    def penalty(self, model: torch.nn.Module) -> torch.Tensor:
        return sum((0.1 * weight.square().sum() for weight in model.parameters()), torch.zeros(()))


@pytest.mark.parametrize(("name", "kind"), [("resnet", TaskTrainer), ("vit", Decayed)])
def test_accumulation_changes_nothing(name: str, kind: type[TaskTrainer], tmp_path: Path) -> None:
    models = []
    for size, accumulation in ((8, 1), (2, 4)):
        model = toy.build(name)
        sizes = {"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulation}
        args = TaskArguments(**toy.settings(tmp_path, **sizes))
        kind(model=model, args=args, train_dataset=toy.rows(name)).train()
        models.append(model)
    assert toy.distance(models[0], toy.snapshot(toy.build(name))) > 1e-3
    assert toy.distance(models[0], toy.snapshot(models[1])) < 1e-6


class Unused(toy.Table):
    """Has a weight that no forward pass uses."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = torch.nn.Parameter(torch.ones(2))


def test_a_penalty_counts_once_a_step_for_every_weight_and_is_logged_apart(tmp_path: Path) -> None:
    logged = {"logging_strategy": "steps", "logging_steps": 1, "num_train_epochs": 1, "learning_rate": 1.0}
    sizes = {"per_device_train_batch_size": 6, "gradient_accumulation_steps": 3}
    model = Unused()
    before = toy.snapshot(model)
    trainer = Decayed(
        model=model, args=TaskArguments(**toy.settings(tmp_path, **logged, **sizes)), train_dataset=toy.table_rows()
    )
    trainer.train()
    one_hot = torch.nn.functional.one_hot(torch.arange(toy.ROWS) % toy.CLASSES, toy.CLASSES)
    slope = (before["table"].softmax(-1) - one_hot) / toy.ROWS
    torch.testing.assert_close(model.idle.data, before["idle"] * 0.8)
    torch.testing.assert_close(model.table.data, before["table"] * 0.8 - slope)
    log = trainer.state.log_history[0]
    assert log["loss_penalty"] == pytest.approx(0.1 * float(before["table"].square().sum() + 2), rel=1e-5)
    assert log["loss"] == pytest.approx(log["loss_all"] + log["loss_penalty"], abs=1e-3)


class InfinitePenalty(TaskTrainer):
    def penalty(self, model: torch.nn.Module) -> torch.Tensor:
        return sum((weight.sum() / 0 for weight in model.parameters()), torch.zeros(()))


def test_a_penalty_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    args = TaskArguments(**toy.settings(tmp_path))
    with pytest.raises(NonFiniteError, match="expected a finite loss"):
        InfinitePenalty(model=toy.Table(), args=args, train_dataset=toy.table_rows()).train()


class OneEpoch(TaskTrainer):
    def after_epoch(self) -> bool:
        return True


def test_after_epoch_can_end_the_training(tmp_path: Path) -> None:
    trainer = OneEpoch(model=toy.Table(), args=TaskArguments(**toy.settings(tmp_path)), train_dataset=toy.table_rows())
    trainer.train()
    assert trainer.state.global_step == 3


def test_a_step_follows_the_mean_gradient_of_its_rows(tmp_path: Path) -> None:
    model = toy.Table(7)
    before = model.table.detach().clone()
    options = {"num_train_epochs": 1, "learning_rate": 1.0, "gradient_accumulation_steps": 3}
    toy.task_trainer(model, toy.table_rows(7), tmp_path, **options).train()
    one_hot = torch.nn.functional.one_hot(torch.arange(7) % toy.CLASSES, toy.CLASSES)
    torch.testing.assert_close(before - model.table, (before.softmax(-1) - one_hot) / 7)


# Evaluation, logs and plain modules


def test_the_model_within_data_parallelism_is_found_for_each_model(tmp_path: Path) -> None:
    trainer = toy.task_trainer(toy.build("vit"), toy.rows("vit"), tmp_path)
    inner = torch.nn.Linear(1, 1)
    for model, expected in ((torch.nn.DataParallel(inner), inner), (trainer.model, trainer.model)):
        assert trainer.unwrapped(model) is expected


def test_evaluation_reports_the_plain_loss(tmp_path: Path) -> None:
    data = toy.rows("vit")
    trainer = toy.trainer("neg_grad", toy.build("vit"), toy.split_rows(data), tmp_path, given={"eval_dataset": data})
    expected = mean_loss(trainer.model, data, trainer.data_collator)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, abs=1e-6)


def test_a_plain_module_trains_and_evaluates_on_plain_lists(tmp_path: Path) -> None:
    model, data = toy.Table(), toy.table_rows()
    args = TaskArguments(**toy.settings(tmp_path, learning_rate=5.0))
    trainer = TaskTrainer(model=model, args=args, train_dataset=data, eval_dataset=data)
    before = trainer.evaluate()["eval_loss"]
    assert before == pytest.approx(mean_loss(model, data, trainer.data_collator), abs=1e-6)
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before


def test_logs_hold_the_value_of_each_term_before_its_sign(tmp_path: Path) -> None:
    data = toy.rows("vit")
    logged = {"logging_strategy": "steps", "logging_steps": 1, "num_train_epochs": 1, "learning_rate": 0.0}
    trainer = toy.trainer("neg_grad", toy.build("vit"), toy.split_rows(data), tmp_path, **logged)
    trainer.train()
    expected = mean_loss(trainer.model, data[: toy.FORGET], trainer.data_collator)
    assert trainer.state.log_history[0]["loss_forget"] == pytest.approx(expected, abs=1e-5)
    assert trainer.state.log_history[0]["loss"] == pytest.approx(-expected, abs=1e-3)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"label_smoothing_factor": 0.1}, r"label_smoothing_factor must be 0 here, got 0\.1"),
        ({"remove_unused_columns": True}, "must be off, got one that is on"),
        ({"logging_nan_inf_filter": True}, "must be off, got one that is on"),
        ({"num_train_epochs": 0}, "num_train_epochs must be more than 0 and finite, got 0"),
        ({"num_train_epochs": float("inf")}, "num_train_epochs must be more than 0 and finite, got inf"),
        ({"num_train_epochs": float("nan")}, "num_train_epochs must be more than 0 and finite, got nan"),
        ({"per_device_train_batch_size": 0}, "per_device_train_batch_size must be more than 0"),
        ({"gradient_accumulation_steps": -1}, "gradient_accumulation_steps must be more than 0"),
        ({"max_steps": 0}, "max_steps must be more than 0, or -1 for whole epochs, got 0"),
        ({"logging_steps": float("-inf")}, "logging_steps must be a finite number of at most 18 digits, got -inf"),
        ({"logging_steps": float("inf")}, "logging_steps must be a finite number of at most 18 digits, got inf"),
        ({"save_steps": float("nan")}, "save_steps must be a finite number of at most 18 digits, got nan"),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number of at most 18 digits, got nan"),
        ({"max_steps": 10**400}, r"max_steps must be a finite number of at most 18 digits, got 1000.*\.\.\.$"),
    ],
)
def test_settings_that_change_the_meaning_of_a_loss_are_refused(
    option: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        TaskArguments(**toy.settings(tmp_path, **option))


def test_a_precision_of_the_launcher_alone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert TaskArguments(**toy.settings(tmp_path, bf16=True)).bf16
    with pytest.raises(ValueError, match="a launcher with bf16 and arguments with no"):
        TaskArguments(**toy.settings(tmp_path))


def test_batch_norm_over_processes_needs_cuda() -> None:
    args = SimpleNamespace(world_size=2, device=torch.device("cpu"))
    model = toy.build("vit")
    assert synchronize_batch_norm(model, args) is model  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected one process on cpu, where the BatchNorm of ResNetFor"):
        synchronize_batch_norm(toy.build("resnet", coupled=True), args)  # type: ignore[arg-type]


def test_logits_and_labels_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected logits \(B, K\) .*, got \(2, 3, 4\), \(2,\)$"):
        per_example_loss(torch.zeros(2, 3, 4), torch.zeros(2, dtype=torch.int64))


# Non-finite


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match="expected a finite loss, got nan at step"):
        toy.task_trainer(toy.build("vit"), toy.broken("vit", [3]), tmp_path).train()


@pytest.mark.parametrize("save_steps", [1, 100])
def test_losses_that_are_checked_later_stop_the_run_with_the_same_words_before_a_save(
    save_steps: int, tmp_path: Path
) -> None:
    found = []
    for check_every in (1, 100):
        trainer = toy.task_trainer(
            toy.build("vit"), toy.broken("vit", [3]), tmp_path, save_strategy="steps", save_steps=save_steps
        )
        trainer.check_every = check_every
        with pytest.raises(NonFiniteError) as error:
            trainer.train()
        step = int(str(error.value).rsplit(" ", 1)[1])
        assert last_checkpoint(tmp_path) == (tmp_path / f"checkpoint-{step - 1}" if save_steps < step else None)
        found.append(str(error.value))
    assert found[0] == found[1]


class Diverging(TaskTrainer):
    """Finite losses, infinite gradients."""

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        logits = self.logits(model, batch)
        return [Term("all", (logits - logits.detach()).sum(-1).abs().sqrt())]


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    args = TaskArguments(**toy.settings(tmp_path, save_strategy="steps", save_steps=1, max_steps=1))
    with pytest.raises(NonFiniteError, match="expected finite weights, got NaN or infinity in 1 tensors, first table"):
        Diverging(model=toy.Table(), args=args, train_dataset=toy.table_rows()).train()
    assert last_checkpoint(tmp_path) is None
    args = TaskArguments(**toy.settings(tmp_path, max_steps=1))
    with pytest.raises(NonFiniteError, match="expected finite weights"):
        Diverging(model=toy.Table(), args=args, train_dataset=toy.table_rows()).train()


# Two processes

TWO = """
import json, sys
from pathlib import Path
import torch
from tests.fixtures import toy

folder = Path(sys.argv[1])
for case, (name, augment, size, methods) in json.loads((folder / "cases.json").read_text()).items():
    for method in methods:
        model = toy.build(name)
        options = {"per_device_train_batch_size": size, "augment": augment, **toy.smooth(method)}
        trainer = toy.trainer(method, model, toy.split_rows(toy.rows(name)), folder / case, **options)
        trainer.train()
        if trainer.is_world_process_zero():
            torch.save(model.state_dict(), folder / f"{case}-{method}.pt")
"""


METHODS = ("finetune", "neg_grad", "random_label", "salun", "bad_teaching", "scrub", "neg_grad_plus", "l1_sparse",
           "cf_k", "lotus")  # fmt: skip
FEW = ("scrub", "neg_grad_plus", "lotus")  # phases, two splits in one step, and labels that are made in the run
# Toy model, whether rows are augmented, rows of a process's batch, methods.
CASES = {
    "vit": ("vit", False, 4, METHODS), "resnet": ("resnet", False, 4, FEW),
    "augmented vit": ("vit", True, 4, FEW), "diffusion": ("diffusion", False, 1, ("random_label", "salun")),
    "gpt2": ("gpt2", False, 4, ("random_label", "salun")), "t5": ("t5", False, 4, ("random_label", "salun")),
}  # fmt: skip


@pytest.fixture(scope="module")
def by_two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the weights that two processes have trained in every case: one start for all of them."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "run.py").write_text(TWO)
    (folder / "cases.json").write_text(json.dumps(CASES))
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *filter(None, sys.path)])}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launcher, str(folder / "run.py"), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0 and "terminate called" not in done.stderr, done.stderr[-3000:]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one_with_twice_the_batch(case: str, by_two_processes: Path, tmp_path: Path) -> None:
    name, augment, size, methods = CASES[case]
    for method in methods:
        options = {"per_device_train_batch_size": 2 * size, "augment": augment, **toy.smooth(method)}
        alone = toy.trained(method, name, tmp_path, **options)
        both = torch.load(by_two_processes / f"{case}-{method}.pt", weights_only=True)
        assert toy.distance(alone, both) < 1e-6, method
        assert toy.distance(alone, toy.snapshot(toy.build(name))) > 1e-4, method
