"""Analyses of real rows, the ledger of claims, and pictures of sequences. Imports the leaderboard."""

from __future__ import annotations

from collections.abc import Sequence

from mubench.cards.leaderboard import Table
from mubench.cards.report import analyses, claims


def as_markdown(tables: Sequence[Table]) -> str:
    """Return analyses and ledger as sections of the results card; nothing without rows of real data."""
    if all(table.row.tier == "mini" for table in tables):
        return ""
    compared = analyses.as_markdown(analyses.find_analyses(tables)) or analyses.NONE
    return f"## Analyses\n\n{compared}\n\n## Claims\n\n{claims.as_markdown(claims.examine_claims(tables))}"


def as_text(tables: Sequence[Table]) -> str:
    """Return both for a terminal."""
    compared = analyses.as_markdown(analyses.find_analyses(tables)) or analyses.NONE
    if all(table.row.tier == "mini" for table in tables):
        compared = "All rows are of tier mini, which tests no claim."
    return f"{compared}\n\n{claims.as_text(claims.examine_claims(tables))}"
