"""Measures a Space under attack: ``python -m tests.bench.measure_space_stress [SECONDS]``.

16 clients of one address send the worst rows, uploads, and calls that nobody reads, fill the queue under new session
hashes, and claim other addresses; a visitor from elsewhere tries a method out all the while.
"""

from __future__ import annotations

import json
import random
import secrets
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx2

from tests.cards.conftest import make_row
from tests.fixtures.serving import Served, memory_mb, serving
from tests.fixtures.small import LONGEST
from tests.fixtures.walk import RATIO, quick, walk

CLIENTS, SECONDS = 16, 60
ATTACKER, HONEST = "192.0.2.1", "192.0.2.2"
PAUSE_S = 1.0


def worst_rows() -> list[str]:
    """Return the largest row that is valid, one with 2,500 bases and 20,000 draws, and deep JSON."""
    row = make_row().model_dump(mode="json")
    row["arguments"] = {f"argument_{i}": "x" * 250 for i in range(64)}
    row["references"] = {"retrained": [*range(64)], "bases": [*range(64)], "identities": []}
    wide = {**row, "references": {"retrained": [0, 1], "bases": [*range(2500)], "identities": []}}
    wide["interval"] = {**row["interval"], "draws": [1] * 20_000}
    return [json.dumps(row), json.dumps(wide), "[" * 100_000]


class Attack:
    """One client: it sends until the time is over, and counts the responses by status."""

    def __init__(self, url: str, seed: int, end: float) -> None:
        self.url, self.end, self.choose = url, end, random.Random(seed)
        self.http, self.rows, self.counts = httpx2.Client(timeout=60), worst_rows(), dict[Any, int]()

    def run(self) -> None:
        kinds = (self.rows_many, self.submit, self.upload, self.fill)
        while time.monotonic() < self.end:
            try:
                response = self.choose.choice(kinds)()
                key: Any = response.status_code
            except httpx2.HTTPError as error:
                key = type(error).__name__
            self.counts[key] = self.counts.get(key, 0) + 1

    def call(self, name: str, *values: Any) -> Any:
        body = {"data": list(values), "session_hash": secrets.token_hex(8)}
        claimed = f"10.0.{self.choose.randrange(256)}.{self.choose.randrange(256)}, {ATTACKER}"
        return self.http.post(f"{self.url}/gradio_api/call/{name}", json=body, headers={"X-Forwarded-For": claimed})

    def rows_many(self) -> Any:
        return self.call("leaderboard", {}, [], [self.rows[0]] * 10)

    def submit(self) -> Any:
        return self.call("submit", self.choose.choice(self.rows))

    def upload(self) -> Any:
        files = [("files", (f"{secrets.token_hex(4)}.json", secrets.token_bytes(240_000))) for _ in range(4)]
        return self.http.post(f"{self.url}/gradio_api/upload", files=files)

    def fill(self) -> Any:
        return self.call("try_out", "cifar10", "resnet", str(RATIO), "scrub", 0, {"num_train_epochs": LONGEST})


def disk_mb(*folders: Path) -> float:
    """Return the megabytes of all files of folders."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return sum(path.stat().st_size for path in files if path.exists()) / 1e6


def try_out(server: Served, seed: int) -> float:
    """Return the seconds of a try-out of the honest visitor."""
    start = time.perf_counter()
    job = server.client(HONEST).submit("cifar10", "resnet", str(RATIO), "scrub", seed, api_name="/try_out")
    job.result(timeout=600)
    assert job.outputs()[-1]["state"] == "finished"
    return time.perf_counter() - start


def stress(server: Served, folders: tuple[Path, ...], seconds: float) -> dict[str, float]:
    """Attack a server; return its memory before and at its peak, growth of the disk, and the visitor's seconds."""
    found = {"stress_quiet_run_s": try_out(server, 0), "stress_idle_mb": memory_mb(server.process.pid)}
    disk, end = disk_mb(*folders), time.monotonic() + seconds
    attacks = [Attack(server.url, seed, end) for seed in range(CLIENTS)]
    threads = [threading.Thread(target=attack.run, daemon=True) for attack in attacks]
    peaks, runs, over = [0.0], [0.0], threading.Event()

    def watch() -> None:
        while not over.is_set():
            peaks.append(memory_mb(server.process.pid))
            over.wait(PAUSE_S)

    watcher = threading.Thread(target=watch)
    for thread in (*threads, watcher):
        thread.start()
    while time.monotonic() < end:
        runs.append(try_out(server, len(runs)))
    over.set()
    for thread in (*threads, watcher):
        thread.join()
    found |= {"stress_peak_mb": max(peaks), "stress_peak_ratio": max(peaks) / found["stress_idle_mb"]}
    found |= {
        "stress_disk_mb": disk_mb(*folders) - disk,
        "stress_slowest_run_s": max(runs),
        "stress_runs": len(runs) - 1,
    }
    for status in {status for attack in attacks for status in attack.counts}:
        found[f"stress_requests_{status}"] = sum(attack.counts.get(status, 0) for attack in attacks)
    return found


def measure(seconds: float = SECONDS) -> dict[str, float]:
    """Return the figures of an attack on a Space of the small task, which trusts one proxy."""
    with tempfile.TemporaryDirectory() as folder, quick():
        root, script = Path(folder, "served"), Path(folder, "script")
        root.mkdir(), script.mkdir()
        walk(root).judge().controls()
        with serving(root, script, small=True, proxies=1) as server:
            return stress(server, (root, Path(tempfile.gettempdir(), "gradio")), seconds)


if __name__ == "__main__":
    for name, value in measure(*map(float, sys.argv[1:])).items():
        print(f"{name} {value:.3f}")  # noqa: T201
