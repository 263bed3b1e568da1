"""What a front door does as one of several processes."""

import atexit

import pytest
import torch.distributed as dist

from mubench.trainers.engine import distributed as processes
from tests.fixtures import toy


def test_a_run_leaves_its_group_when_the_interpreter_ends(monkeypatch):
    at_end = []
    monkeypatch.setattr(atexit, "register", at_end.append)
    processes.set_up_process()
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    assert dist.is_initialized()
    for leave in at_end:
        leave()
    assert not dist.is_initialized()
    for leave in at_end:
        leave()


def test_a_trainer_of_ones_own_script_leaves_the_group_too(monkeypatch, tmp_path):
    at_end = []
    monkeypatch.setattr(atexit, "register", at_end.append)
    toy.task_trainer(toy.Table(), toy.table_rows(), tmp_path)
    assert at_end.count(processes.leave_group) == 1


@pytest.mark.parametrize(("count", "waited"), [(None, []), ("1", []), ("2", [processes.SETTLE_S])])
def test_threads_of_a_group_are_waited_for_whoever_has_left_it(monkeypatch, count, waited):
    slept = []
    monkeypatch.setattr(processes.time, "sleep", slept.append)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if count:
        monkeypatch.setenv("WORLD_SIZE", count)
    processes.leave_group()
    assert slept == waited
