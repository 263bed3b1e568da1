"""Tables as text and as markdown."""

from mubench.cards.leaderboard import tables
from mubench.cards.leaderboard.formats import HEAD, as_markdown, as_text
from mubench.trainers.evaluation.controls import CONTROLS


def test_text_fits_a_terminal_and_is_aligned(demo_rows):
    (table,) = tables(demo_rows)
    lines = as_text([table]).splitlines()
    assert max(map(len, lines)) <= 120
    heads = [line for line in lines if line.startswith("rank")]
    assert len(heads) == 1
    for part in ("row", "mean", "memb.", "util.", "gap", "KL", "time", "passes", "seeds"):
        assert f" {part}" in heads[0]
    ends = [heads[0].index(name) + len(name) for name in ("row", "mean", "memb.", "util.")]
    body = next(line for line in lines if "salun" in line)
    assert all(body[end - 1].isdigit() and body[end] == " " for end in ends)


def test_markdown_is_a_table_of_equal_lines(demo_rows):
    lines = as_markdown(tables(demo_rows)[0]).splitlines()
    assert {line.count("|") for line in lines} == {len(HEAD) + 1}
    assert len(lines) == 2 + 4 + len(CONTROLS)
