"""Rows of one setting share a table."""

from mubench.cards.leaderboard import tables
from mubench.cards.leaderboard.formats import as_text
from mubench.trainers.evaluation.controls import CONTROLS


def test_splits_tiers_ratios_and_backbones_have_their_own_tables(new_row):
    rows = [new_row(), new_row(ratio=10), new_row(backbone="vit"), new_row(tier="full"), new_row(split="ff" * 32)]
    assert len(tables(rows)) == 5
    assert all(f"cifar10 ({table.row.tier})" in table.title for table in tables(rows))


def test_controls_are_listed_in_order_and_never_ranked(demo_rows):
    (table,) = tables(demo_rows)
    assert [entry.name for entry in table.controls] == list(CONTROLS)
    assert all(entry.rank is None for entry in table.controls)


def test_order_of_rows_does_not_matter(demo_rows):
    assert as_text(tables(demo_rows)) == as_text(tables(demo_rows[::-1]))
