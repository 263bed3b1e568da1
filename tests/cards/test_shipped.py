"""The shipped result rows are complete, and about the rows that the suite builds today."""

import pytest

from mubench.cards.__main__ import main
from mubench.cards.leaderboard import SHIPPED, shipped_tables
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.tasks import TASKS
from mubench.trainers.evaluation.controls import CONTROLS
from mubench.trainers.evaluation.result import read_results
from mubench.trainers.methods import METHODS
from mubench.trainers.models.setting import load_setting
from mubench.trainers.runs.method_table import methods_on


def test_there_is_a_table_of_every_mini_task():
    found, keys = shipped_tables(), sorted(TASKS)
    assert [(one.row.task, one.row.tier, one.row.ratio) for one in found] == [(key, "mini", 5) for key in keys]
    assert [one.row.backbone for one in found] == [next(iter(TASKS[key].recipes)) for key in keys]
    assert not [one.title for one in found if {entry.rows[0].method for entry in one.controls} != set(CONTROLS)]


def test_shipped_rows_are_unflagged_and_of_defaults():
    rows = [row for row in read_results(SHIPPED) if not row.control]
    assert not [row.run_id for row in rows if row.flags]
    assert {row.tuned for row in rows} == {"default"}


@pytest.mark.parametrize("key", TASKS)
def test_all_rows_of_a_table_are_judged_against_the_same_models(key):
    retrained = {}
    for row in read_results(SHIPPED):
        if row.task == key and not row.control:
            for name, metric in row.metrics.items():
                retrained.setdefault(name, []).extend([] if metric.retrained is None else [metric.retrained])
    assert len(retrained["score"]) > 10
    assert not {name: each for name, each in retrained.items() if each and max(each) - min(each) > 0.01}


@pytest.mark.parametrize("what", ["leaderboard", "matrix"])
def test_shipped_tables_are_printed(what, capsys):
    assert main([what, "--shipped"]) == 0
    output = capsys.readouterr().out
    assert all(key in output for key in TASKS)


def test_shipped_rows_get_no_cards(capsys):
    for words in (["--shipped"], ["matrix", "--shipped", "--results", "elsewhere"]):
        assert main(words) == 2
        assert "expected --shipped with leaderboard or matrix" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("key", TASKS)
def test_a_shipped_table_matches_the_current_rows_and_methods(key, tmp_path):
    family = TASKS[key].family_of("mini")
    setting = load_setting(
        key, next(iter(TASKS[key].recipes)), data=str(build(key, out=tmp_path, family=family)), family=family
    )
    (table,) = [one for one in shipped_tables() if one.row.task == key]
    assert (table.row.split, table.row.backbone) == (setting.info.split, setting.backbone)
    made_for = {method for method in methods_on(setting, table.row.ratio) if not METHODS[method].from_scratch}
    shown = {entry.rows[0].method for entry in table.entries}
    assert shown <= made_for and len(shown) > len(made_for) / 2  # a new method has no row yet
