"""The processes of a run."""

import atexit

import pytest
import torch.distributed as dist

from mubench.trainers.__main__ import main
from mubench.trainers.engine import distributed
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.models.modalities.text_classification import TextModality
from tests.fixtures import toy


def test_a_run_leaves_its_group_when_the_interpreter_ends(monkeypatch):
    at_end = []
    monkeypatch.setattr(atexit, "register", at_end.append)
    distributed.set_up_process()
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    assert dist.is_initialized()
    for leave in at_end:
        leave()
    assert not dist.is_initialized()
    for leave in at_end:
        leave()


def test_a_trainer_in_a_users_script_leaves_the_group_too(monkeypatch, tmp_path):
    at_end = []
    monkeypatch.setattr(atexit, "register", at_end.append)
    toy.task_trainer(toy.Table(), toy.table_rows(), tmp_path)
    assert at_end.count(distributed.leave_group) == 1


@pytest.mark.parametrize(("count", "waited"), [(None, []), ("1", []), ("2", [distributed.SETTLE_S])])
def test_threads_of_a_group_get_time_to_finish_even_if_it_was_left_before(monkeypatch, count, waited):
    slept = []
    monkeypatch.setattr(distributed.time, "sleep", slept.append)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if count:
        monkeypatch.setenv("WORLD_SIZE", count)
    distributed.leave_group()
    assert slept == waited


def test_the_first_process_answers_for_all(monkeypatch):
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        assert distributed.on_main_process(lambda: "answer") == "answer"
        monkeypatch.setenv("RANK", "1")
        monkeypatch.setattr(dist, "broadcast_object_list", lambda found, **_: found.__setitem__(slice(2), [None, 5]))
        assert distributed.on_main_process(lambda: "own answer") == 5
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("missing", [True, False])
def test_the_first_process_decides_whether_a_run_is_to_be_made(monkeypatch, tmp_path, missing):
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(distributed, "is_complete", lambda *_: missing)  # what this one sees is the contrary
    monkeypatch.setattr(distributed, "on_main_process", lambda action: missing)
    with distributed.own_run(tmp_path / "model", None) as found:
        assert found is missing


def test_sharded_weights_are_refused_in_one_line_before_anything_is_loaded(monkeypatch, mini, tmp_path, capsys):
    with pytest.raises(ValueError, match=r"^expected whole weights in every process .*, got FSDP; "):
        TaskArguments(fsdp="full_shard")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")  # as `accelerate launch --use_fsdp --fsdp_version 2` does
    monkeypatch.setattr(TextModality, "create", lambda *_: pytest.fail("a model was made"))
    assert main(["base", "--task=imdb", f"--data={mini}", f"--models={tmp_path / 'models'}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mubench: expected whole weights in every process") and not (tmp_path / "models").exists()
