"""A training run that is killed and run again ends with the very weights of one that was left alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.utils.atomic import WORK
from mubench.trainers.__main__ import main
from mubench.trainers.models.base_models import train_base
from tests.fixtures.demo import copy_models
from tests.fixtures.few import TASK_OF, few_rows

pytestmark = pytest.mark.slow
SAVE = ["--save_steps=20", "--disable_tqdm=True"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    build("cifar10", out=folder)
    return folder


def start(root: Path, models: str, *words: str) -> subprocess.Popen[bytes]:
    """Start a front door in ``root`` as a process, writing into a models folder of its own."""
    command = [sys.executable, "-m", "mubench.trainers", *words, "--task=cifar10", f"--models={models}", *SAVE]
    return subprocess.Popen(command, cwd=root, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)


def finish(root: Path, models: str, *words: str) -> None:
    """Run a front door in ``root`` to its end, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert main([*words, "--task=cifar10", f"--models={models}", *SAVE]) == 0


def kill_after_a_checkpoint(root: Path, models: str, *words: str) -> Path:
    """Kill a run once its first checkpoint is whole, and return the checkpoint."""
    process = start(root, models, *words)
    deadline = time.monotonic() + 120
    while not (found := sorted((root / models).glob(f"{WORK}/*/checkpoint-*/complete"))):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    return found[0].parent


def assert_equal_models(first: Path, second: Path) -> None:
    names = sorted(path.relative_to(first) for path in first.rglob("*.safetensors"))
    assert names and names == sorted(path.relative_to(second) for path in second.rglob("*.safetensors"))
    for name in names:
        weights, others = load_file(first / name), load_file(second / name)
        assert weights.keys() == others.keys()
        assert all(torch.equal(weights[key], others[key]) for key in weights)


def check(root: Path, name: str, *words: str, folder: str) -> None:
    whole, killed = f"whole-{name}", f"killed-{name}"
    finish(root, whole, *words)
    (done,) = (root / whole).glob(folder)
    checkpoint = kill_after_a_checkpoint(root, killed, *words)
    assert not (root / killed / done.name).exists()
    half = checkpoint.with_name("checkpoint-9999")  # written, but not to its end
    half.mkdir()
    (half / "trainer_state.json").write_text("{")
    finish(root, killed, *words)
    assert_equal_models(done, root / killed / done.name)
    assert not list((root / killed / WORK).iterdir())
    runs = [json.loads((root / models / done.name / "run.json").read_text()) for models in (whole, killed)]
    assert runs[0]["cost"].get("forward") == runs[1]["cost"].get("forward")
    assert runs[0]["history"] == runs[1]["history"]


@pytest.mark.nightly
@pytest.mark.parametrize("backbone", ["resnet", "vit"])
def test_a_killed_base_training_goes_on_exactly(root, backbone):
    words = ["base", f"--backbone={backbone}"]
    check(root, backbone, *words, folder=f"cifar10-mini-{backbone}")


def test_a_killed_unlearning_run_goes_on_exactly_through_its_phases_and_keeps_its_best_epoch(root):
    words = ["scrub", "--backbone=vit", "--ratio=5", "--judge=False", "--num_train_epochs=6"]
    words += ["--keep=best"]
    copy_models(root / "name", "cifar10-mini-vit")
    finish(root, "name", "base", "--backbone=vit")
    for models in ("whole-scrub", "killed-scrub"):
        shutil.copytree(root / "name", root / models)
    check(root, "scrub", *words, folder="*scrub*")


class Kill(TrainerCallback):
    """Kills the process that trains after its third step."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 3:
            os.kill(os.getpid(), signal.SIGKILL)


class Steps(TrainerCallback):
    """Notes the steps that are made: a run that began anew would end with the same weights."""

    def __init__(self):
        self.made = []

    def on_step_end(self, args, state, control, **kwargs):
        self.made.append(state.global_step)


def in_a_fork(work: Callable[[], object]) -> int:
    """Do something in a process of its own that has the tables as this test changed them, and return its status."""
    if not (child := os.fork()):
        try:
            work()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)  # what goes wrong here must not go on as a second run of the tests
    deadline = time.monotonic() + 120
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGTERM)
        time.sleep(0.05)
    return ended[1]


@pytest.mark.parametrize(
    "backbone", [key if key in ("vit", "llama") else pytest.param(key, marks=pytest.mark.nightly) for key in TASK_OF]
)
def test_a_killed_training_of_every_mini_backbone_goes_on_exactly(backbone, monkeypatch, tmp_path):
    setting = few_rows(monkeypatch, backbone, tmp_path)
    saving = {"save_strategy": "steps", "save_steps": 2, "disable_tqdm": True, "use_cpu": True}
    whole = train_base(setting, 0, models=tmp_path / "whole", **saving)
    killed = tmp_path / "killed"
    assert in_a_fork(lambda: train_base(setting, 0, models=killed, callbacks=[Kill()], **saving)) == signal.SIGKILL
    assert [path.parent.name for path in killed.glob(f"{WORK}/*/checkpoint-*/complete")] == ["checkpoint-2"]
    steps = Steps()
    assert_equal_models(whole, train_base(setting, 0, models=killed, callbacks=[steps], **saving))
    assert steps.made == [3, 4, 5, 6]
