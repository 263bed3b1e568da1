"""The owner of a run: the one process, or group of processes, that makes a model folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mubench.hub_builders.hub.model_folder import Run, is_complete, work_path
from mubench.hub_builders.utils.atomic import WORK, owned
from mubench.trainers.engine.distributed import is_main_process, on_main_process
from mubench.trainers.engine.errors import explain_full_disk


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
