"""Processor seconds of the commands that print help, lists and refusals, and of the imports below them."""

from __future__ import annotations

import resource
import subprocess
import sys

TRIES = 3
FLOOR = "import torch; from transformers import TrainingArguments, HfArgumentParser"
COMMANDS = {
    "help": ["-m", "mubench.cards.console", "--help"],
    "methods": ["-m", "mubench.cards.console", "methods"],
    "typo": ["-m", "mubench.cards.console", "scrup"],
    "sweep_help": ["-m", "mubench.cards.console", "sweep", "--help"],
    "leaderboard": ["-m", "mubench.cards.console", "leaderboard", "--shipped"],
    "floor": ["-c", FLOOR],
    "scrub_help": ["-m", "mubench.cards.console", "scrub", "--help"],
    "import_method": ["-c", "import mubench.trainers.methods.scrub"],
}


def _processor_seconds(name: str, arguments: list[str]) -> float:
    """Return user and system seconds of one process.

    Raises:
        RuntimeError: If it fails; only the typo may, with exit code 2.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != (2 if name == "typo" else 0):
        raise RuntimeError(f"expected {name} to run, got exit code {done.returncode}: {done.stderr[-200:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure() -> dict[str, float]:
    """Return the smallest of some tries, after one that writes the bytecode."""
    found = {}
    for name, arguments in COMMANDS.items():
        _processor_seconds(name, arguments)
        found[f"startup_{name}_cpu_s"] = min(_processor_seconds(name, arguments) for _ in range(TRIES))
    return found


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name} {value:.3f}")  # noqa: T201
