"""The picture of the leaderboard: S against cost, beside retraining for as many passes."""

import pytest

from mubench.cards import picture
from mubench.cards.leaderboard import tables
from mubench.cards.leaderboard.formats import HEAD, as_markdown
from mubench.cards.leaderboard.table import CURVE
from mubench.cards.picture import LONGEST, draw_leaderboard
from mubench.trainers.evaluation.result import References


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """Return the figure of a table that was drawn."""
    figures = []

    class Kept(picture.Figure):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            figures.append(self)

    monkeypatch.setattr(picture, "Figure", Kept)

    def drawn(rows):
        draw_leaderboard(tables(rows), tmp_path / "a.png")
        return figures[-1]

    return drawn


def controls(new_row):
    """Return controls of one table: retrained ones for 50, 5 and 100 % of the passes, and the base model."""
    against = References(retrained=[0, 1, 2], bases=[0, 1])
    costs = {("retrain_at", 50): 0.5, ("retrain_at", 5): 0.05, ("retrain", None): 1.0}
    rows = [new_row("base", score=0.0, control=True, cost={}, references=against)]
    for (method, percent), passes in costs.items():
        cost = {"forward": 1.0, "backward": 1.0, "seconds": 1.0, "seconds_share": passes, "passes_share": passes}
        given = {"percent": percent} if percent else {}
        row = new_row(method, score=0.9 * passes, control=True, cost=cost, arguments=given, references=against)
        rows.append(row.model_copy(update={"run_id": f"{method}-{percent}"}))
    return rows


def test_retraining_for_a_part_of_the_passes_is_one_curve_by_cost(new_row, draw):
    figure = draw([new_row("scrub"), *controls(new_row)])
    (curve,) = (line for line in figure.axes[0].lines if line.get_label() == CURVE)
    costs, scores = curve.get_data()
    marked = curve.get_markevery()
    assert costs[marked] == pytest.approx([0.05, 0.5, 1.0]) and scores[marked] == pytest.approx([0.045, 0.45, 0.9])
    assert scores == pytest.approx(0.9 * costs)  # as the column `useful` has it, not straight on the picture
    assert CURVE in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_other_controls_stay_horizontal_lines(new_row, draw):
    axes = draw([new_row("scrub"), *controls(new_row)]).axes[0]
    level = [line.get_ydata() for line in axes.lines if line.get_linestyle() == ":"]
    assert level == [[0.0, 0.0]]
    assert [text.get_text() for text in axes.texts] == ["base"]


def test_there_is_no_curve_without_such_controls(new_row, draw):
    rows = [row for row in controls(new_row) if row.method != "retrain_at"]
    labels = [line.get_label() for line in draw([new_row("scrub"), *rows]).axes[0].lines]
    assert CURVE not in labels


def test_long_names_and_many_lines_leave_room_for_the_axes(new_row, draw):
    def size(length, count):
        rows = [new_row("scrub", seed=seed, arguments={"p": f"{seed}" + length * "x"}) for seed in range(count)]
        return tuple(draw(rows).get_size_inches())

    assert size(1, 2) == (7.2, 4.0)
    assert size(60, 2)[0] > 9 and size(1, 30)[1] > 5
    assert size(250, 2)[0] == pytest.approx(5.5 + 0.06 * LONGEST)


@pytest.mark.slow
def test_the_picture_is_reproducible(demo_rows, new_row, tmp_path):
    ranked = tables([*demo_rows, new_row(backbone="vit", cost={})])
    first, second = (draw_leaderboard(ranked, tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert first == second and first.startswith(b"\x89PNG") and len(first) > 10_000


def test_texts_of_arguments_are_drawn_and_written_as_they_stand(new_row, tmp_path):
    texts = ("$\\frac{1}{0}$", "a|b", "<img src=x>", "$x$ & \\")
    rows = [new_row("scrub", seed=seed, arguments={"p": text}) for seed, text in enumerate(texts)]
    rows.append(new_row("base", control=True, score=0.1, arguments={"p": "$\\sqrt$"}, cost={}))
    (table,) = tables(rows)
    assert draw_leaderboard([table], tmp_path / "a.png").stat().st_size  # a formula with a fault would raise
    lines = as_markdown(table).splitlines()
    assert {line.count("|") for line in lines} == {len(HEAD) + 1}
    assert not [line for line in lines if "<" in line or "$" in line]
