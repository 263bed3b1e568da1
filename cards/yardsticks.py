"""What S of a run is read against: retrained models, the best method, and retraining at equal cost."""

from __future__ import annotations

from collections.abc import Sequence

from mubench.cards.entries import Entry
from mubench.cards.leaderboard import Table


def yardsticks(table: Table, passes: float | None) -> dict[str, float]:
    """Return S by yardstick, without those that the table lacks.

    Args:
        table: The table of the run's setting.
        passes: Cost of the run as a share of retraining's passes, where it is known.
    """
    found = {
        "retrained": _score_of(table.controls, "retrain"),
        "half of the forget set kept": _score_of(table.controls, "retrain_keep50"),
    }
    if best := next((entry for entry in table.entries if entry.rank == 1), None):
        found[f"best method ({best.title})"] = best.score
    if passes is not None:
        found["retraining at equal cost"] = table.retraining_at(passes)
    return {name: score for name, score in found.items() if score is not None}


def _score_of(controls: Sequence[Entry], method: str) -> float | None:
    return next((entry.score for entry in controls if entry.rows[0].method == method), None)
