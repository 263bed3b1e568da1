"""What a table states of itself and of its lines."""

from dataclasses import replace

import numpy as np
import pytest

from mubench.cards.leaderboard import tables
from mubench.cards.leaderboard.formats import as_markdown, as_text
from mubench.cards.leaderboard.table import CurvePoint
from mubench.trainers.evaluation.result import References, Value
from tests.cards.leaderboard.conftest import seeds


def test_few_references_are_marked_and_enough_are_not(new_row):
    few = as_text(tables([new_row()]))
    many = as_text(tables([new_row(references=References(retrained=[0, 1, 2, 3, 4], bases=[0, 1, 2]))]))
    assert "PROVISIONAL" in few and " 1*  scrub" in few
    assert "PROVISIONAL" not in many and " 1  scrub" in many


def test_a_table_shows_what_its_task_reports_where_rows_have_it(new_row):
    plain = new_row("scrub", task="tofu")
    values = {"rouge_l": Value(value=0.625, n=9), "truth_ratio": Value(value=0.25, n=9)}
    written = new_row("salun", task="tofu", score=0.9)
    written = written.model_copy(update={"metrics": {**written.metrics, **values}})
    (table,) = tables([plain, written])
    assert table.reported == ("truth_ratio", "rouge_l")
    head, _, first, second = as_markdown(table).splitlines()
    assert head.replace(" (weak)", "").endswith("| truth_ratio | rouge_l |")
    assert first.endswith("| 0.25 | 0.62 |") and second.endswith("| - | - |")
    text = as_text([table])
    assert "rouge_l: ROUGE-L recall of texts generated for forget rows" in text and "probability:" not in text
    assert "rouge_l" not in as_text(tables([plain]))


def test_a_line_is_useful_where_the_interval_of_the_difference_to_retraining_is_above_0(new_row):
    part = {"seconds_share": 0.05, "passes_share": 0.05, "seconds": 1.0, "forward": 150, "backward": 150}
    controls = [new_row("retrain_at", score=0.4, control=True, cost=part)]
    against = References(retrained=[0, 1, 2], bases=[0, 1])
    scores = {"surely": [0.9], "alone": [0.78], "above": [0.41], "equal": [0.404], "below": [0.3], "nothing": [0.004]}
    runs = [row for name, each in scores.items() for row in seeds(new_row, name, each, references=against)]
    (table,) = tables([*runs, *controls])
    found = {entry.name: table.usefulness(entry) for entry in table.entries}
    assert found == {
        "surely": "yes",
        "alone": "maybe",
        "above": "maybe",
        "equal": "no",
        "below": "no",
        "nothing": "no",
    }
    assert [table.usefulness(entry) for entry in table.controls] == [None]
    (above,) = (entry for entry in table.entries if entry.name == "alone")
    assert above.low > table.retraining_at(above.passes)  # its own interval is above, that of the difference is not
    no_draws = np.zeros_like(above.draws)
    free = replace(table, curve=tuple(CurvePoint(passes, 0.0, no_draws) for passes in (0.0, 1.0)))
    assert [free.usefulness(entry) for entry in free.entries if entry.name == "nothing"] == ["no"]


def test_the_compute_matched_curve_starts_at_the_cheapest_line_and_is_linear_in_cost(new_row):
    (table,) = tables([new_row()])
    points = tuple(CurvePoint(passes, score, np.zeros(1)) for passes, score in ((0.0, 0.0), (0.5, 0.2), (1.0, 0.9)))
    costs, scores = replace(table, curve=points).curve_line(0.01)
    assert costs[0] == 0.01 and costs[-1] == 1.0 and 0.5 in costs and len(costs) == 201
    assert scores == pytest.approx([each * 0.4 if each < 0.5 else 0.2 + (each - 0.5) * 1.4 for each in costs])
    assert replace(table, curve=points).curve_line(0.9)[0][0] == 0.5
    assert [each.tolist() for each in replace(table, curve=()).curve_line(0.01)] == [[], []]
    costs, scores = replace(table, curve=points[:2]).curve_line(0.5)
    assert costs == pytest.approx(0.5) and scores == pytest.approx(0.2)


def test_rows_of_parts_of_the_data_and_of_mini_tasks_come_with_a_caveat(new_row):
    for tier, caveat in (("full", ""), ("partial", "a subset of the original data"), ("mini", "are no result")):
        (table,) = tables([new_row().model_copy(update={"tier": tier})])
        assert caveat in table.caveat and bool(caveat) == bool(table.caveat)
        assert table.caveat in as_text([table])
