import pytest

from mubench.cards.__main__ import main
from mubench.cards.leaderboard import tables
from mubench.cards.leaderboard.formats import as_matrix
from mubench.trainers.evaluation.controls import CONTROLS
from mubench.trainers.evaluation.result import write_result


def lines(text):
    """Return the cells of every line of a table, by its first word."""
    return {line.split()[0]: line.split()[1:] for line in text.split("\n\n")[1].splitlines()}


def test_a_task_is_a_column_and_a_method_a_line(demo_rows, new_row):
    other = [new_row("scrub", score=0.4, task="imdb"), new_row("retrain_keep50", score=0.5, task="imdb", control=True)]
    text = as_matrix(tables([*demo_rows, *other]))
    cells = lines(text)
    assert text.startswith("A  cifar10 (mini), resnet: 5 % deleted") and "\nB  imdb (mini)" in text
    assert cells["scrub"] == ["0.80", "0.40", "1"]
    assert cells["salun"] == ["0.82", "-", "1"]
    assert cells["finetune"] == ["0.30", "-", "0"]
    assert cells["neg_grad"] == ["!", "-", "0"]
    assert cells["retrain"] == ["0.93", "-"] and cells["retrain_keep50"] == ["0.45", "0.50"]


def test_tasks_of_a_users_own_come_last_in_a_matrix_apart(demo_rows, new_row):
    definition = {"file": "ab" * 32, "title": "A", "kind": "image_classification", "source": "rows"}
    own = new_row("scrub", score=0.99, task="a", tier="custom", definition=definition)
    found = tables([own, *demo_rows])
    assert [table.row.task for table in found] == ["cifar10", "a"]
    assert "a custom task" in found[1].caveat and "mini" in found[0].caveat
    first, _, second = as_matrix(found).partition("A  a (custom)")
    assert lines(first) == lines(as_matrix(tables(demo_rows)))
    assert lines(f"A  a (custom){second}")["scrub"] == ["0.99", "0"]


def test_lines_are_ordered_by_mean_and_controls_stand_below(demo_rows):
    order = list(lines(as_matrix(tables(demo_rows))))
    assert order == ["method", "salun", "scrub", "finetune", "neg_grad", *CONTROLS]


def test_no_method_exceeds_a_missing_control(new_row):
    assert lines(as_matrix(tables([new_row("scrub", score=0.9)])))["scrub"] == ["0.90", "0"]


def test_without_tables_there_is_no_matrix():
    with pytest.raises(ValueError, match="expected rows of results, got none"):
        as_matrix([])


def test_the_matrix_is_printed_by_the_front_door(demo_rows, tmp_path, capsys):
    for row in demo_rows:
        write_result(row, tmp_path)
    assert main(["matrix", "--results", str(tmp_path)]) == 0
    assert "above keep50" in capsys.readouterr().out
