"""`RayCluster`: jobs as tasks of Ray, on this machine or on many that share a folder of models."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
from contextlib import ExitStack
from typing import Any, Self

from mubench.hub_builders.utils.optional import require
from mubench.trainers.sweeps.jobs import Job, Outcome
from mubench.trainers.sweeps.worker_pool import execute_in_worker

logger = logging.getLogger(__name__)

LOCAL = "local"
OBJECT_STORE = 100 * 2**20  # bytes; jobs and outcomes are small
REACH_S = 10.0
# A raylet may start slowly on a busy machine.
_START = {"RAY_raylet_start_wait_time_s": "120", "RAY_USAGE_STATS_ENABLED": "0"}


def _check_reachable(address: str) -> None:
    """Raise an `OSError` if nothing listens at an address with a port: Ray would go on trying for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=REACH_S).close()


class RayCluster:
    """A Ray cluster, see `Executor`.

    All its machines have this suite installed and share the folders of data, models and results by absolute paths. A
    task that loses its worker is not repeated by Ray: it is a failed run like others.

    Args:
        address: ``local`` starts a cluster on this machine, ``auto`` finds one that runs here, or an address.
        workers: Runs at a time on a cluster that is started here.
        cpus: Cores of a run.
        gpus: GPUs of a run, of which several share one if it is a fraction; ``None`` takes one where there are some.

    Raises:
        FileNotFoundError: If Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, address: str, *, workers: int = 2, cpus: float = 1.0, gpus: float | None = None) -> None:
        if workers < 1:
            raise ValueError(f"workers must be 1 or more, got {workers}")
        for name, value in _START.items():  # read as Ray is imported
            os.environ.setdefault(name, value)
        self._ray = require("ray")
        self._address, self._workers, self._cpus, self._gpus = address, workers, cpus, gpus
        self._running: dict[Any, Job] = {}
        self._folder: str | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:  # what has been started is ended if the rest fails
            self._connect(stack)
            self._options = self._task_options()
            self._task = self._ray.remote(execute_in_worker).options(**self._options)
            self._stack = stack.pop_all()
        return self

    def _connect(self, stack: ExitStack) -> None:
        """Start a cluster or join one, which the stack ends or leaves."""
        quiet = {"log_to_driver": False, "logging_level": "CRITICAL"}
        if self._address == LOCAL:
            self._folder = tempfile.mkdtemp(prefix="mu-ray-")  # sockets lie in it, whose paths must be short
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)  # its processes may still write logs
        if not self._ray.is_initialized():  # a session that the caller has opened is the caller's to end
            stack.callback(self._ray.shutdown)
        if self._address == LOCAL:
            own = {"num_cpus": max(1, round(self._workers * self._cpus)), "object_store_memory": OBJECT_STORE}
            where = {"_temp_dir": self._folder, "_node_ip_address": "127.0.0.1", "include_dashboard": False}
            self._ray.init(address=LOCAL, **where, **own, **quiet)
            return
        try:
            _check_reachable(self._address)
            self._ray.init(address=self._address, **quiet)
        except (OSError, ValueError, RuntimeError) as error:
            reason = f"{error} (RAY_AUTH_MODE must be that of the cluster)"
            raise FileNotFoundError(f"expected a Ray cluster at {self._address}, got: {reason}") from error

    def _task_options(self) -> dict[str, Any]:
        """Return what a task takes of the cluster; a warning says where no node has as much, since one may join.

        Raises:
            ValueError: If it is more GPUs than this machine has.
        """
        there = self._ray.cluster_resources().get("GPU", 0)
        gpus = min(1, there) if self._gpus is None else self._gpus
        if self._address == LOCAL and gpus > there:
            raise ValueError(f"expected at most the {there:.0f} GPUs of this machine a run, got {gpus}")
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(node.get("CPU", 0) >= self._cpus and node.get("GPU", 0) >= gpus for node in nodes):
            wanted = f"{self._cpus:g} cores and {gpus:g} GPUs"
            logger.warning("no node of the Ray cluster has %s at present: runs wait until one joins", wanted)
        return {"num_cpus": self._cpus, "num_gpus": gpus, "max_retries": 0}

    def __exit__(self, *_: object) -> None:
        for task in self._running:
            self._ray.cancel(task, force=True)
        self._running.clear()
        self._stack.close()

    def submit(self, job: Job, place: int = 0) -> None:
        """Run a job as soon as the cluster has the resources, in the order of submission."""
        self._running[self._task.remote(job, max(1, int(self._cpus)))] = job

    def wait(self, seconds: float) -> list[tuple[Job, Outcome]]:
        """Return the jobs that have ended, see `Executor`."""
        if not self._running:
            return []
        tasks = list(self._running)
        self._ray.wait(tasks, timeout=seconds)  # for the first
        ended, _ = self._ray.wait(tasks, num_returns=len(tasks), timeout=0)
        return [(self._running.pop(task), self._take(task)) for task in ended]

    def running(self) -> list[Job]:
        """Return the oldest submitted jobs, as many as the cluster has cores and GPUs for: Ray starts them in turn."""
        there, jobs = self._ray.cluster_resources(), list(self._running.values())
        wanted = {"CPU": self._options["num_cpus"], "GPU": self._options["num_gpus"]}
        return jobs[: min((int(there.get(name, 0) / count) for name, count in wanted.items() if count), default=None)]

    def _take(self, task: Any) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            first = (str(error).strip().splitlines() or [""])[0]
            return Outcome(failure=f"expected the Ray worker to finish the job, got {type(error).__name__}: {first}")
        return outcome
