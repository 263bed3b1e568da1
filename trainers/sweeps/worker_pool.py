"""A pool of persistent worker processes for independent jobs, one thread each."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from pathlib import Path

import datasets
import torch
import transformers
from tqdm import tqdm

from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.tools.adversarial import NoAdversarialInputError

Job = Callable[[], Path | list[Path]]


def set_up_worker() -> None:
    """Set up a worker: one thread (tiny models are many times slower on two), no progress bars, no orphans."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    # Each training ends with a garbage collection, which need not scan the objects of the imports.
    gc.freeze()
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    logging.getLogger().setLevel(logging.ERROR)


def _exit_with_parent() -> None:
    """End this process, whatever it is doing, when its parent has ended: the pipe between them breaks."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(job: Job) -> str | None:
    """Run a job, and return the message of a run that diverged or found no other class near."""
    try:
        job()
    except (NonFiniteError, NoAdversarialInputError) as error:
        return f"{getattr(job, 'method', 'base')} of {getattr(job, 'backbone', '')}: {error}"
    return None


class Workers:
    """A pool of persistent worker processes.

    Args:
        count: Number of processes.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"workers must be 1 or more, got {count}")
        # Forked workers have torch imported already; CUDA cannot be forked.
        method = "spawn" if torch.cuda.is_available() or os.name == "nt" else "fork"
        context = multiprocessing.get_context(method)
        self.pool = ProcessPoolExecutor(count, mp_context=context, initializer=set_up_worker)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def run(self, jobs: Iterable[Job], title: str) -> list[str]:
        """Run jobs under a progress bar, and return the messages of runs without a result.

        Any other failure cancels the rest and is raised.

        Args:
            jobs: Independent jobs.
            title: Title of the bar.
        """
        futures = [self.pool.submit(_call, job) for job in jobs]
        with tqdm(total=len(futures), desc=f"{title:<12}", unit="run", leave=True) as bar:
            for future in futures:
                future.add_done_callback(lambda _: bar.update())
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        return [message for future in done if (message := future.result()) is not None]
