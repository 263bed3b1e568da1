"""The process that runs methods, one at a time: trainers share a process's random state, and torch loads once."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from typing import Any

import datasets
import torch
import transformers

from mubench.trainers.commands import request_of, run_method
from mubench.trainers.run import plan_run

# Short runs gain nothing from checkpoints.
QUIET = ("--save_strategy=no", "--disable_tqdm=true")


def unlearn(method: str, words: Sequence[str]) -> str:
    """Run a method as the command line does, without judging it, and return the run's identity."""
    request, _ = request_of(method, words)
    run_method(method, [*words, *QUIET, "--judge=false"])
    return plan_run(request).identity


def judge(method: str, words: Sequence[str]) -> None:
    """Judge a finished run as the command line does."""
    run_method(method, words)


def _settle() -> None:
    """Set the worker up: one thread, no chatter, and no life after the server's."""
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    logging.getLogger().setLevel(logging.ERROR)
    threading.Thread(target=_follow_the_server, daemon=True).start()


def _follow_the_server() -> None:
    server = multiprocessing.parent_process()
    if server is not None:
        server.join()
        os._exit(1)


@lru_cache(maxsize=1)
def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_settle)


def submit(job: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Queue a job; a new worker is started if the last one was killed."""
    try:
        return _pool().submit(job, *arguments)
    except BrokenProcessPool:
        _pool.cache_clear()
        return _pool().submit(job, *arguments)


def start() -> None:
    """Start the worker now, so that the first run need not wait for torch."""
    submit(os.getpid)
