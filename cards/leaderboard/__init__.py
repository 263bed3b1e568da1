"""Leaderboard: rows pooled into lines, ranked in tables, and printed. Imports nothing else of this room."""

from mubench.cards.leaderboard.grouping import TIERS_BY_DATA, tables
from mubench.cards.leaderboard.ranks import rank_lines
from mubench.cards.leaderboard.result_folder import SHIPPED, ResultFolder, shipped_tables
from mubench.cards.leaderboard.table import Table

__all__ = ["SHIPPED", "TIERS_BY_DATA", "ResultFolder", "Table", "rank_lines", "shipped_tables", "tables"]
