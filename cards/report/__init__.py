"""Analyses of real rows, dataset bias, the ledger of claims, and pictures of sequences. Imports the leaderboard."""

from __future__ import annotations

from collections.abc import Sequence

from mubench.cards.leaderboard import Table
from mubench.cards.report import analyses, claims, dataset_bias

SHIPPED = "The report of the rows that ship: mubench cards report --shipped"


def as_markdown(tables: Sequence[Table]) -> str:
    """Return all parts as sections of the results card; nothing without rows of real data."""
    if all(table.row.tier == "mini" for table in tables):
        return ""
    parts = {**_comparisons(tables), "Claims": claims.as_markdown(claims.examine_claims(tables))}
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in parts.items())


def as_text(tables: Sequence[Table]) -> str:
    """Return all parts for a terminal."""
    if all(table.row.tier == "mini" for table in tables):
        return f"All rows are of tier mini, which tests no claim. {SHIPPED}\n"
    parts = {**_comparisons(tables), "Claims": claims.as_text(claims.examine_claims(tables))}
    return "\n\n".join(f"{title}\n{'=' * len(title)}\n\n{text}" for title, text in parts.items())


def _comparisons(tables: Sequence[Table]) -> dict[str, str]:
    """Return the parts that compare lines, by title."""
    found = analyses.as_markdown(analyses.find_analyses(tables)) or analyses.NONE
    return {"Analyses": found, "Dataset bias": dataset_bias.as_markdown(tables)}
