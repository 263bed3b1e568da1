"""Measures a leaderboard of 10,000 rows: ``python -m tests.bench.measure_rows``; processor seconds and megabytes.

The rows are copies of the shipped ones under other deletion seeds, written in the format of the measured checkout.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROWS = 10_000
READ = """
import resource, sys, time
from mubench.cards.leaderboard import tables
from mubench.trainers.evaluation.result import read_results
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
found = tables(read_results(sys.argv[1]))
assert found
print("leaderboard_10000_cpu_s", time.process_time() - start)
print("leaderboard_10000_mb", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def write_rows(folder: Path) -> None:
    """Write ``ROWS`` valid rows."""
    from mubench.cards.leaderboard import SHIPPED  # noqa: PLC0415  (of the measured checkout)
    from mubench.trainers.evaluation.result import read_results, to_json  # noqa: PLC0415

    shipped = read_results(SHIPPED)
    for number in range(ROWS):
        row, draw = shipped[number % len(shipped)], number // len(shipped)
        copy = row.model_copy(update={"deletion_seed": draw, "run_id": f"{row.run_id}-d{draw}"})
        (folder / f"{copy.run_id}.json").write_text(to_json(copy), encoding="utf-8")


def measure() -> dict[str, float]:
    """Return processor seconds of reading and ranking, and the memory that it adds, from a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        write_rows(Path(name))
        done = subprocess.run([sys.executable, "-c", READ, name], capture_output=True, text=True, check=True)
    return {key: float(value) for key, value in (line.split() for line in done.stdout.splitlines())}


if __name__ == "__main__":
    for key, value in measure().items():
        print(f"{key} {value:.3f}")  # noqa: T201
