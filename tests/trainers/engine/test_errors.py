"""An out-of-memory error becomes one line that names the argument to lower, and leaves no partial result."""

import re

import pytest
import torch

from mubench.hub_builders.utils.atomic import WORK
from mubench.trainers.__main__ import main
from mubench.trainers.engine.errors import EVALUATION, TRAINING, TooLittleMemoryError, explain_out_of_memory
from mubench.trainers.engine.task_trainer import TaskTrainer
from mubench.trainers.inference import predict as prediction
from tests.fixtures.walk import files

CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 4 GiB")
CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "8 bytes. Error code 12 (Cannot allocate memory)"
)
QUIET = ["--disable_tqdm=true", "--save_strategy=no"]


@pytest.fixture
def arguments(own_walk):
    return ["--task=cifar10", *own_walk.flags(), *QUIET]


@pytest.mark.parametrize(
    ("command", "place", "advice"), [("base", "train", TRAINING), ("scrub", "predict", EVALUATION)]
)
def test_a_command_names_the_argument_to_lower(own_walk, arguments, capsys, monkeypatch, command, place, advice):  # noqa: PLR0917
    def fail(*_, **__):
        raise CUDA

    before = files(own_walk.models)
    run = {
        "base": lambda: main(["base", "--base_seed=9", *arguments]),
        "scrub": lambda: main(["scrub", "--ratio=10", "--judge=false", *arguments]),
    }[command]
    with monkeypatch.context() as patch:
        patch.setattr(*{"train": (TaskTrainer, "logits"), "predict": (prediction, "model_inputs")}[place], fail)
        assert run() == 2
    error = capsys.readouterr().err
    assert re.fullmatch(rf"mubench: expected enough memory for .*CUDA out of memory.*; {re.escape(advice)}\n", error)
    assert files(own_walk.models) == before
    assert not [path for path in (own_walk.models / WORK).iterdir() if ".stage-" in path.name]
    assert run() == 0


@pytest.mark.parametrize(
    ("error", "got"),
    [(CUDA, "CUDA out of memory"), (MemoryError(), "MemoryError"),
     (CPU, "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")],
)  # fmt: skip
def test_allocators_errors_become_one_line(error, got):
    with (
        pytest.raises(TooLittleMemoryError, match=rf"^expected enough memory for a step, got: {got}; lower --x$"),
        explain_out_of_memory("all", "lower --y"),
        explain_out_of_memory("a step", "lower --x"),
    ):
        raise error


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes do not fit"), explain_out_of_memory("a step", TRAINING):
        raise RuntimeError("shapes do not fit")


def test_the_evaluation_batch_size_bounds_a_forward_pass(own_walk, arguments, monkeypatch):
    sizes = []
    inputs = prediction.model_inputs

    def recorded(batch):
        sizes.append(len(batch["labels"]))
        return inputs(batch)

    monkeypatch.setattr(prediction, "model_inputs", recorded)
    assert main(["base", *arguments, "--base_seed=9", "--per_device_eval_batch_size=8"]) == 0
    assert max(sizes) == 8
    sizes.clear()
    assert main(["base", *arguments, "--base_seed=10"]) == 0
    assert max(sizes) > 8
