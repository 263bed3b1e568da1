"""What a front door does as one of several processes."""

import atexit

import torch.distributed as dist

from mubench.hub_builders import processes


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
