"""The processes of one run, as ``torchrun`` and ``accelerate launch`` start them: which is which, who writes."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import datasets
import torch.distributed as dist
import transformers

# Others wait while the first process looks at a large model's every row.
PATIENCE = timedelta(days=7)
# How long threads of a group that is left are given to put down what they hold.
SETTLE_S = 0.2
# The arguments that cut a step into the batches of one process.
STEP = ("per_device_train_batch_size", "gradient_accumulation_steps")


def world_size() -> int:
    """Return how many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this is the process that writes and prints."""
    return int(os.environ.get("RANK", "0")) == 0


def set_up_process() -> None:
    """Begin a front door's run as one of several processes: the first shows progress, all part at the end."""
    leave_group_at_exit()
    if not is_main_process():
        datasets.disable_progress_bars()
        transformers.utils.logging.disable_progress_bar()


def leave_group_at_exit() -> None:
    """Leave the group of processes when the interpreter ends, and no sooner: a process may train several times."""
    atexit.unregister(part)
    atexit.register(part)


def part() -> None:
    """Leave the group of processes, if that was not done.

    A thread of the group that puts down a tensor of Python's once the interpreter is gone aborts the process. Data
    parallelism keeps these threads after the group is left, where nothing joins them: they are given a moment.
    """
    if dist.is_initialized():
        dist.destroy_process_group()
    if world_size() > 1:  # whoever has left the group
        time.sleep(SETTLE_S)


def on_main_process(action: Callable[[], object]) -> None:
    """Let the first process do something while the others wait.

    Raises:
        ChildProcessError: In the others, if the first one failed.
    """
    if not dist.is_initialized():
        action()
        return
    group = dist.new_group(backend="gloo", timeout=PATIENCE)
    told: list[str | None] = ["it was interrupted" if is_main_process() else None]
    try:
        if is_main_process():
            action()
            told[0] = None
    except Exception as error:
        told[0] = str(error)
        raise
    finally:
        dist.broadcast_object_list(told, src=0, group=group)
    if told[0] is not None:
        raise ChildProcessError(f"expected the first process to finish, got: {told[0]}")


def all_gather(own: list[Any]) -> list[Any]:
    """Return the lists of all processes as one, in their order; every process has to ask."""
    if not dist.is_initialized():
        return own
    found: list[list[Any]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(found, own)
    return [item for part in found for item in part]


def step_arguments(rows: int, given: Mapping[str, Any]) -> dict[str, int]:
    """Return how optimizer steps of so many rows are cut: what is given stands, the rest follows.

    Args:
        rows: Rows of a step, over all processes.
        given: Arguments; ``per_device_train_batch_size`` and ``gradient_accumulation_steps`` matter.

    Raises:
        ValueError: If the rows cannot be shared out evenly.
    """
    size, parts = (given.get(name) for name in STEP)
    if size is None or parts is None:
        shares = world_size() * (size or parts or 1)
        other, left = divmod(rows, shares)
        if left or not other:
            raise ValueError(
                f"expected a divisor of the recipe's {rows} rows a step, got {shares}: {world_size()} processes, "
                f"{'batches' if size else 'accumulation'} of {size or parts or 1}"
            )
        size, parts = (size, other) if size else (other, parts or 1)
    return dict(zip(STEP, (size, parts), strict=True))
