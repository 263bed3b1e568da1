"""Lists in README and docs and the public names of `mubench.trainers` follow from the tables."""

from pathlib import Path

import pytest

from mubench.cards import lists
from mubench.hub_builders.tasks import TASKS
from mubench.trainers.methods import METHODS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", lists.FILLED)
def test_lists_are_current(path):
    text = (ROOT / path).read_text()
    assert lists.FILLED[path](text) == text, "make lists"


def test_lists_are_written_between_their_marks():
    text = "".join(f"<!-- {name} -->\nold\n<!-- /{name} -->\n" for name in lists.LISTS)
    filled = lists.fill_lists(text)
    assert "old" not in filled and lists.fill_lists(filled) == filled
    keys, tasks, papers, methods, memory = filled.split("-->\n<!--")
    assert all(f"`{key}`" in keys and f"| `{key}` |" in tasks for key in TASKS)
    assert all(f"| `{key}`" in papers and f"| `{key}`" in methods for key in METHODS)
    assert "| `retrain_keep50` (a control) |" in papers
    assert "| [Kurmanji et al., NeurIPS 2023](https://arxiv.org/abs/2302.09880) |" in methods
    assert all(f"| {size} | {training} |" in memory for size in lists.SIZES for training in lists.PLANS)


def test_sizes_are_those_that_their_names_state():
    assert [round(shape.parameters / 1e9, 2) for shape in lists.SIZES.values()] == [1.24, 3.21, 6.74]


@pytest.mark.parametrize(("text", "got"), [("", "got none"), ("<!-- other -->\n<!-- /other -->\n", "got other")])
def test_a_page_without_a_known_list_is_refused(text, got):
    with pytest.raises(ValueError, match=f"expected places of the lists task_keys, .*, {got}"):
        lists.fill_lists(text)
