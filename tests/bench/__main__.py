"""``make bench``: every measurement in a process of its own, beside a yardstick, as one table.

The yardstick is a count to 5 million in plain Python, about .36 s on a quiet core: divide by it before two machines,
or two hours of one machine, are compared. ``--against CHECKOUT`` measures another checkout in turn, and adds ratios.
Where `feed` is measured, the last line is its rate of whole batches, ``N rows/s``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from tqdm import tqdm

from mubench.hub_builders.utils.tables import align_columns

RATE = "feed_batches_rows_s"
HERE = Path(__file__).resolve().parent
MEASURES = sorted(path.stem.removeprefix("measure_") for path in HERE.glob("measure_*.py"))


def yardstick() -> float:
    """Return the seconds of a count to 5 million."""
    start, count = time.perf_counter(), 0
    while count < 5_000_000:
        count += 1
    return time.perf_counter() - start


def measure(name: str, checkout: Path) -> dict[str, float]:
    """Run one measurement on the sources of a checkout that has ``build/types``, and return its values."""
    paths = os.pathsep.join((str(checkout / "build" / "types"), str(HERE.parents[1])))
    environment = {**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", f"tests.bench.measure_{name}"]
    done = subprocess.run(command, env=environment, cwd=HERE.parents[1], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        sys.stderr.write(f"measure_{name} on {checkout} failed: {last}\n")
        return {}
    lines = (line.split() for line in done.stdout.splitlines())
    return {line[0]: float(line[1]) for line in lines if len(line) == 2}


def main() -> None:
    """Print one table of all measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measures", nargs="*", help=f"which ones, of {', '.join(MEASURES)}; default: all")
    parser.add_argument("--against", type=Path, help="another checkout after `make types`")
    options = parser.parse_args()
    checkouts = [HERE.parents[1], *([options.against.resolve()] if options.against else [])]
    last = ""
    rows = [("measurement", "value", *(["other", "ratio"] if options.against else []), "yardstick s")]
    for name in tqdm(options.measures or MEASURES, desc="measurements"):
        unit = yardstick()
        found = [measure(name, checkout) for checkout in checkouts]
        if RATE in found[0]:
            last = f"{found[0][RATE]:.0f} rows/s\n"
        for key, value in found[0].items():
            other = found[-1].get(key) if options.against else None
            pair = [f"{other:.3g}", f"{value / other:.2f}"] if other else ["-", "-"]
            rows.append((key, f"{value:.3g}", *(pair if options.against else []), f"{unit:.2f}"))
    sys.stdout.write("\n".join(align_columns(rows)) + f"\n{last}")


if __name__ == "__main__":
    main()
