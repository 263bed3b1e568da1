"""Measures the served Space on a small task: ``python -m tests.bench.measure_views``."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.fixtures.serving import Served, memory_mb, serving
from tests.fixtures.walk import RATIO, quick, walk

READS = 50


def _read(server: Served) -> float:
    """Read every tab's data, and return the mean seconds of a round."""
    client, start = server.client(), time.perf_counter()
    for _ in range(READS):
        client.predict("cifar10", api_name="/settings")
        client.predict({}, api_name="/leaderboard")
        client.predict("canonical", "cifar10", str(RATIO), api_name="/data")
    return (time.perf_counter() - start) / READS


def measure() -> dict[str, float]:
    """Return seconds of start-up, page, a round of reads and a run, and the memory before and after more reads."""
    with tempfile.TemporaryDirectory() as folder, quick():
        root, script = Path(folder, "served"), Path(folder, "script")
        root.mkdir(), script.mkdir()
        made = walk(root)
        made.judge().controls()
        start = time.perf_counter()
        with serving(made.root, script, small=True) as server:
            found = {"space_start_s": time.perf_counter() - start}
            start = time.perf_counter()
            server.get("")
            found["space_page_s"] = time.perf_counter() - start
            start = time.perf_counter()
            server.client().submit("cifar10", "resnet", str(RATIO), "scrub", 0, api_name="/try_out").result()
            found["space_run_s"] = time.perf_counter() - start
            found["space_read_s"] = _read(server)
            found["space_before_mb"] = memory_mb(server.process.pid)
            _read(server)
            found["space_after_mb"] = memory_mb(server.process.pid)
    return found


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name} {value:.3f}")  # noqa: T201
