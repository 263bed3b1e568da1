"""What a front door does as one of several processes."""

import atexit

import torch.distributed as dist

from mubench.hub_builders import processes
from tests.trainers import toy


def test_a_run_leaves_its_group_when_the_interpreter_ends(monkeypatch):
    at_end = []
    monkeypatch.setattr(atexit, "register", at_end.append)
    processes.take_part()
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
    for _ in range(2):
        toy.task_trainer(toy.Table(), toy.table_rows(), tmp_path)
    assert processes.part in at_end
