"""Measures the leaderboard of the shipped rows: ``python -m tests.bench.measure_leaderboard``."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SPACE = Path(__file__).resolve().parents[2] / "space"


def _seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure() -> dict[str, float]:
    """Return seconds: reading and ranking the rows, as text, as matrix, and in the Space, first and again."""
    from mubench.cards.leaderboard import shipped_tables  # noqa: PLC0415
    from mubench.cards.leaderboard.formats import as_matrix, as_text  # noqa: PLC0415  (imports are not measured)

    sys.path.insert(0, str(SPACE))
    board, frame = (importlib.import_module(f"handlers.{name}") for name in ("board", "board_tables"))
    return {
        "leaderboard_rank_s": _seconds(shipped_tables),
        "leaderboard_text_s": _seconds(lambda: as_text(shipped_tables())),
        "leaderboard_matrix_s": _seconds(lambda: as_matrix(shipped_tables())),
        "leaderboard_space_first_s": _seconds(lambda: frame.frame(board.board_lines())),
        "leaderboard_space_again_s": _seconds(lambda: frame.frame(board.board_lines())),
    }


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name} {value:.3f}")  # noqa: T201
