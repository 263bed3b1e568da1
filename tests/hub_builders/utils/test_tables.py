"""Tables in markdown."""

import pytest

from mubench.hub_builders.utils.tables import markdown_table


def test_columns_are_right_aligned_but_for_those_named():
    table = "| name | of | S |\n| ---: | --- | ---: |\n| a | b | 1 |"
    assert markdown_table(("name", "of", "S"), [("a", "b", "1")], left=(1,)) == table


def test_a_line_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"^expected 2 cells in a line, got 1: a$"):
        markdown_table(("name", "S"), [("a",)])
