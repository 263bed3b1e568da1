"""TeacherCache that runs out is one line that names the argument to lower, and nothing is half there."""

import re

import pytest
import torch

from mubench.hub_builders.__main__ import main
from mubench.hub_builders.utils.atomic import WORK
from mubench.trainers.__main__ import main as unlearning
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


def raising(error):
    def fail(*_, **__):
        raise error

    return fail


@pytest.fixture
def words(own_walk):
    return ["--task=cifar10", *own_walk.flags(), *QUIET]


@pytest.mark.parametrize("command", ["base", "scrub"])
@pytest.mark.parametrize(("place", "advice"), [("train", TRAINING), ("ask", EVALUATION)])
@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_it_is_told_in_one_line(own_walk, words, capsys, monkeypatch, command, place, advice, device):  # noqa: PLR0917
    before = files(own_walk.models)
    run = {
        "base": lambda: main(["base", "--base_seed=9", *words]),
        "scrub": lambda: unlearning(["scrub", "--ratio=10", "--judge=false", *words]),
    }[command]
    error, got = {"cuda": (CUDA, "CUDA out of memory"), "cpu": (CPU, "can't allocate memory")}[device]
    with monkeypatch.context() as patch:
        where = (TaskTrainer, "logits") if place == "train" else (prediction, "model_inputs")
        patch.setattr(*where, raising(error))
        assert run() == 2
    said = capsys.readouterr().err
    assert re.fullmatch(rf"mubench: expected enough memory for .*{got}.*; {re.escape(advice)}\n", said)
    assert files(own_walk.models) == before
    assert not [path for path in (own_walk.models / WORK).iterdir() if ".stage-" in path.name]
    assert run() == 0


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes do not fit"), explain_out_of_memory("a step", TRAINING):
        raise RuntimeError("shapes do not fit")
    told = "expected enough memory for a step, got: MemoryError; lower"
    with (
        pytest.raises(TooLittleMemoryError, match=told),
        explain_out_of_memory("all", EVALUATION),
        explain_out_of_memory("a step", TRAINING),
    ):
        raise MemoryError


def test_a_model_is_asked_about_as_many_rows_at_once_as_is_said(own_walk, words, monkeypatch):
    seen = []
    ask = prediction._asked

    def watched(model, dataset, collate, batch_size):
        for logits, batch in ask(model, dataset, collate, batch_size):
            seen.append(len(logits))
            yield logits, batch

    monkeypatch.setattr(prediction, "_asked", watched)
    assert main(["base", *words, "--base_seed=9", "--per_device_eval_batch_size=8"]) == 0
    assert max(seen) == 8
    seen.clear()
    assert main(["base", *words, "--base_seed=10"]) == 0
    assert max(seen) > 8
