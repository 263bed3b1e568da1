"""Leaderboard: rows pooled into lines, ranked in tables, and printed. Imports nothing else of this room."""

from mubench.cards.leaderboard.grouping import (
    SHIPPED,
    TIERS_BY_DATA,
    ResultFolder,
    rank_lines,
    shipped_tables,
    tables,
)
from mubench.cards.leaderboard.table import Table

__all__ = ["SHIPPED", "TIERS_BY_DATA", "ResultFolder", "Table", "rank_lines", "shipped_tables", "tables"]
