"""`report_to`: a tracker that is there gets what is logged, and one that is absent is one line."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from mubench.trainers.engine.task_arguments import TaskArguments
from tests.fixtures import toy

COMMANDS = {"tensorboard": "'mubench[track]'", "trackio": "'mubench[track]'", "wandb": "wandb"}


def logged(folder: Path, tracker: str) -> Any:
    """Train with a tracker, log every step, and return the trainer."""
    settings = {
        "report_to": tracker,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "run_name": "mine",
        "max_steps": 2,
    }
    trainer = toy.trainer("neg_grad_plus", toy.build("vit"), toy.split_rows(toy.rows("vit")), folder, **settings)
    trainer.train()
    return trainer


def losses(trainer: Any, name: str) -> list[float]:
    found = [entry[name] for entry in trainer.state.log_history if name in entry]
    assert len(found) == 2 and len(set(found)) == 2
    return found


@pytest.mark.parametrize("tracker", COMMANDS)
def test_an_absent_tracker_is_one_line_with_its_install_command(tracker, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    absent = (tracker, f"{tracker}X")  # tensorboardX stands in for tensorboard
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in absent else find(name, *rest))
    with pytest.raises(FileNotFoundError) as raised:
        TaskArguments(output_dir=str(tmp_path), report_to=tracker)
    assert str(raised.value) == (
        f"expected the package {tracker} to report to {tracker}, got none: pip install {COMMANDS[tracker]}"
    )


def test_trackers_that_are_unknown_or_not_set_up_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^expected report_to of azure_ml, .*wandb.*, got 'tensorbord'$"):
        TaskArguments(output_dir=str(tmp_path), report_to="tensorbord")
    with pytest.raises(ValueError, match=r"^expected report_to of what is installed \(.*\), got dvclive$"):
        TaskArguments(output_dir=str(tmp_path), report_to="dvclive")
    assert TaskArguments(output_dir=str(tmp_path), report_to="none").report_to == []


def test_wandb_gets_the_loss_of_every_split(tmp_path, monkeypatch):
    wandb = MagicMock(__spec__=ModuleSpec("wandb", None), __path__=[])
    names = ("wandb", "wandb.sdk", "wandb.sdk.lib", "wandb.sdk.lib.config_util")
    for name in names:
        monkeypatch.setitem(sys.modules, name, wandb)
    trainer = logged(tmp_path, "wandb")
    sent = [call.args[0] for call in wandb.log.call_args_list]
    for name in ("loss", "loss_forget", "loss_retain"):
        assert [one[f"train/{name}"] for one in sent if f"train/{name}" in one] == losses(trainer, name)


@pytest.mark.slow
def test_tensorboard_gets_the_loss_of_every_split(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415  (slow)

    trainer = logged(tmp_path, "tensorboard")
    (folder,) = (tmp_path / "runs").iterdir()
    events = EventAccumulator(str(folder)).Reload()
    for name in ("loss", "loss_forget", "loss_retain"):
        found = [(one.step, one.value) for one in events.Scalars(f"train/{name}")]
        assert found == [(step, pytest.approx(loss)) for step, loss in enumerate(losses(trainer, name), 1)]


@pytest.mark.slow
def test_trackio_gets_the_loss_of_every_split(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trainer = logged(tmp_path / "run", "trackio")
    from trackio.sqlite_storage import SQLiteStorage  # noqa: PLC0415  (reads TRACKIO_DIR)

    sent = SQLiteStorage.get_logs("huggingface", "mine")
    for name in ("loss", "loss_forget", "loss_retain"):
        found = [one[f"train/{name}"] for one in sent if f"train/{name}" in one]
        assert found == pytest.approx(losses(trainer, name))
