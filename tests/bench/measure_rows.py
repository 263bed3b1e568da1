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
import json, resource, sys, time
from pathlib import Path
from mubench.cards.leaderboard import tables
from mubench.trainers.evaluation.result import read_results
def report(name, start):
    print(f"leaderboard_10000_{name}cpu_s", time.process_time() - start)
def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, start = memory(), time.process_time()
found = tables(read_results("results"))
assert found
report("", start)
print("leaderboard_10000_mb", memory() - before)
del found
sys.path.insert(0, sys.argv[1])
from handlers import board, board_tables
def view():
    lines = board.board_lines()
    filters = board.default_filters(lines)
    matching = board.filter_keeping_own(lines, filters)
    board.filter_choices(lines)
    assert board_tables.frame(matching, lines) and board.render_cost(matching) and board.render_parts(matching)
    assert board_tables.render_matrix(board.board_lines(), board_tables.data_choices(lines)[0])
board.board_lines()  # the server reads all rows as it starts
start = time.process_time()
view()
report("space_view_", start)
row = next(Path("results").glob("*.json"))
content = json.loads(row.read_text())
Path("results", f"{row.stem}-new.json").write_text(json.dumps({**content, "run_id": f"{row.stem}-new"}))
start = time.process_time()
board.board_lines()
report("space_new_row_", start)
print("leaderboard_10000_space_mb", memory() - before)
"""
SPACE = Path(__file__).resolve().parents[2] / "space"


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
    """Return processor seconds of reading and ranking, of the Space's view, and the memory added, in a new process."""
    with tempfile.TemporaryDirectory() as name:
        (folder := Path(name, "results")).mkdir()
        write_rows(folder)
        command = [sys.executable, "-c", READ, str(SPACE)]
        done = subprocess.run(command, cwd=name, capture_output=True, text=True, check=True)
    return {key: float(value) for key, value in (line.split() for line in done.stdout.splitlines())}


if __name__ == "__main__":
    for key, value in measure().items():
        print(f"{key} {value:.3f}")  # noqa: T201
