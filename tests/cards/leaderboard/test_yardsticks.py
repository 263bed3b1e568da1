"""Yardsticks of a run: numbers that its table has, by what they stand for."""

import pytest

from mubench.cards.leaderboard import tables
from mubench.cards.leaderboard.yardsticks import yardsticks


def test_yardsticks_are_the_controls_the_best_method_and_retraining_at_equal_cost(demo_rows):
    (table,) = tables(demo_rows)
    found = yardsticks(table, passes=0.025)
    best = table.entries[0]
    assert found == {
        "retrained": pytest.approx(0.93),
        "half of the forget set kept": pytest.approx(0.45),
        f"best method ({best.title})": best.score,
        "retraining at equal cost": pytest.approx(0.3),  # half of the way from nothing to 5 %, whose S is .6
    }


def test_a_table_without_controls_has_no_yardsticks_of_them(demo_rows):
    (table,) = tables(row for row in demo_rows if not row.control)
    assert [name.partition(" (")[0] for name in yardsticks(table, passes=0.5)] == ["best method"]
    assert yardsticks(table, passes=None).keys() == yardsticks(table, passes=0.5).keys()
