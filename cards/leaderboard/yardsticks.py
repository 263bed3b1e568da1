"""Yardsticks for S of a run: retrained models, the best method, and retraining at equal cost."""

from __future__ import annotations

from mubench.cards.leaderboard.table import Table
from mubench.trainers.evaluation.judge_runs import mean_controls


def yardsticks(table: Table, passes: float | None) -> dict[str, float]:
    """Return S by yardstick, without those that the table lacks.

    Args:
        table: The table of the run's setting.
        passes: Cost of the run as a share of retraining's passes, where it is known.
    """
    found: dict[str, float | None] = {**mean_controls(row for entry in table.controls for row in entry.rows)}
    if best := next((entry for entry in table.entries if entry.rank == 1), None):
        found[f"best method ({best.title})"] = best.score
    if passes is not None:
        found["retraining at equal cost"] = table.retraining_at(passes)
    return {name: score for name, score in found.items() if score is not None}
