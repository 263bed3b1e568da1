"""The processes of a run."""

import atexit

import pytest
import torch.distributed as dist

from mubench.trainers.engine import distributed
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
