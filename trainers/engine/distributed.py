"""The processes of one run, as ``torchrun`` and ``accelerate launch`` start them, and the lock that they hold."""

from __future__ import annotations

import atexit
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist
import transformers

from mubench.hub_builders.hub.model_folder import Run, is_complete, work_path
from mubench.hub_builders.utils.atomic import WORK, owned
from mubench.trainers.engine.errors import explain_full_disk

# Other processes wait while the main one evaluates a large model on every row.
TIMEOUT = timedelta(days=7)
# How long the threads of a group that was left get to release their tensors.
SETTLE_S = 0.2
# The arguments that divide a step into the batches of one process.
STEP = ("per_device_train_batch_size", "gradient_accumulation_steps")

Answer = TypeVar("Answer")


def world_size() -> int:
    """Return how many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this is the process that writes and prints."""
    return int(os.environ.get("RANK", "0")) == 0


def set_up_process() -> None:
    """Set up a front door's run as one of several processes: only the main one shows progress bars."""
    leave_group_at_exit()
    if not is_main_process():
        import datasets  # noqa: PLC0415  seconds to import, and a method needs no data code

        datasets.disable_progress_bars()
        transformers.utils.logging.disable_progress_bar()


def leave_group_at_exit() -> None:
    """Leave the group of processes when the interpreter ends, and no sooner: a process may train several times."""
    atexit.unregister(leave_group)
    atexit.register(leave_group)


def leave_group() -> None:
    """Leave the group of processes, unless that was done.

    A thread of the group that releases a Python tensor once the interpreter is gone aborts the process. Data
    parallelism keeps these threads after the group is left, and nothing joins them: they get a moment to finish.
    """
    if dist.is_initialized():
        dist.destroy_process_group()
    if world_size() > 1:  # also where something else has left the group
        time.sleep(SETTLE_S)


def on_main_process(action: Callable[[], Answer]) -> Answer:
    """Run an action in the main process while the others wait, and return in all of them what it returned there.

    Raises:
        ChildProcessError: In the others, if the action failed.
    """
    if not dist.is_initialized():
        return action()
    group = dist.new_group(backend="gloo", timeout=TIMEOUT)
    found: list[Any] = ["it was interrupted" if is_main_process() else None, None]
    try:
        if is_main_process():
            found = [None, action()]
    except Exception as error:
        found = [str(error), None]
        raise
    finally:
        dist.broadcast_object_list(found, src=0, group=group)
    failure, answer = found
    if failure is not None:
        raise ChildProcessError(f"expected the first process to finish, got: {failure}")
    return answer


@contextmanager
def own_run(folder: Path, run: Run) -> Iterator[bool]:
    """Own a run's folder, and yield whether the run is still to be made.

    While another process makes it, wait. Of several processes of one run the first holds the lock and decides for all,
    since the folder may appear between their checks.

    Args:
        folder: The model's folder.
        run: What it is to hold.

    Raises:
        FullDiskError: If the lock cannot be written.
    """
    lock = folder.parent / WORK / f"{folder.name}.lock"
    with ExitStack() as stack:

        def take() -> bool:
            if is_main_process() and not (is_complete(folder, run) and not lock.exists()):
                stack.enter_context(owned(lock))
                if is_complete(folder, run):  # a killed process may have left its scratch folder
                    shutil.rmtree(work_path(folder, run), ignore_errors=True)
            return not is_complete(folder, run)

        with explain_full_disk(folder.parent):
            to_do = on_main_process(take)
        yield to_do


def all_gather(own: list[Any]) -> list[Any]:
    """Return the lists of all processes as one, in their order; every process has to call this."""
    if not dist.is_initialized():
        return own
    gathered: list[list[Any]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(gathered, own)
    return [item for items in gathered for item in items]


def step_arguments(rows: int, given: Mapping[str, Any]) -> dict[str, int]:
    """Return the arguments that divide an optimizer step into batches: given ones stand, the others follow.

    Args:
        rows: Rows of a step, over all processes.
        given: Given arguments, of which `STEP` are read.

    Raises:
        ValueError: If the rows cannot be shared out evenly.
    """
    size, parts = (given.get(name) for name in STEP)
    if size is None or parts is None:
        shares = world_size() * (size or parts or 1)
        other, left = divmod(rows, shares)
        if left or not other:
            raise ValueError(
                f"expected a divisor of the recipe's {rows} rows per step, got {shares}: {world_size()} processes, "
                f"{'batches' if size else 'accumulation'} of {size or parts or 1}"
            )
        size, parts = (size, other) if size else (other, parts or 1)
    return dict(zip(STEP, (size, parts), strict=True))
