"""README's lists and the public names of `mubench.trainers` follow from the tables."""

from pathlib import Path

import pytest

from mubench.cards import lists
from mubench.hub_builders.tasks import TASKS
from mubench.trainers.methods import METHODS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("path", "fill"), [(lists.README, lists.fill_readme), (lists.NAMES, lists.fill_names)])
def test_lists_are_current(path, fill):
    text = (ROOT / path).read_text()
    assert fill(text) == text, "make lists"


def test_lists_are_written_between_their_marks():
    text = "<!-- tasks -->\nold\n<!-- /tasks -->\n<!-- methods -->\nold\n<!-- /methods -->\n"
    filled = lists.fill_readme(text)
    assert "old" not in filled and all(f"`{key}`" in filled for key in (*TASKS, *METHODS))
    assert "`retrain_keep50` (a control)" in filled
    with pytest.raises(ValueError, match="expected <!-- tasks -->"):
        lists.fill_readme("")
