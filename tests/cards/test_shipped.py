"""The rows that come with the suite are whole, and about the very rows that it builds today."""

import pytest

from mubench.cards.__main__ import main
from mubench.cards.shipped import SHIPPED, shipped_tables
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.tasks import TASKS
from mubench.trainers.evaluation.controls import CONTROLS
from mubench.trainers.evaluation.result_files import read_results
from mubench.trainers.methods import METHODS
from mubench.trainers.models.setting import load_setting
from mubench.trainers.runs.applicability import methods_on


def test_there_is_a_table_of_every_mini_task():
    found, keys = shipped_tables(), sorted(TASKS)
    assert [(one.row.task, one.row.tier, one.row.ratio) for one in found] == [(key, "mini", 5) for key in keys]
    assert [one.row.backbone for one in found] == [next(iter(TASKS[key].recipes)) for key in keys]
    assert not [one.title for one in found if {entry.rows[0].method for entry in one.controls} != set(CONTROLS)]


def test_no_row_is_flagged_and_all_are_of_defaults():
    rows = [row for row in read_results(SHIPPED) if not row.control]
    assert not [row.run_id for row in rows if row.flags]
    assert {row.tuned for row in rows} == {"default"}


@pytest.mark.parametrize("key", TASKS)
def test_all_rows_of_a_table_are_judged_against_the_same_models(key):
    told = {}
    for row in read_results(SHIPPED):
        if row.task == key and not row.control:
            for name, metric in row.metrics.items():
                told.setdefault(name, []).extend([] if metric.retrained is None else [metric.retrained])
    assert len(told["score"]) > 10
    assert not {name: values for name, values in told.items() if values and max(values) - min(values) > 0.01}


@pytest.mark.parametrize("what", ["leaderboard", "matrix"])
def test_they_are_printed(what, capsys):
    assert main([what, "--shipped"]) == 0
    said = capsys.readouterr().out
    assert all(key in said for key in TASKS)


def test_cards_are_not_written_beside_them(capsys):
    for words in (["--shipped"], ["matrix", "--shipped", "--results", "elsewhere"]):
        assert main(words) == 2
        assert "expected --shipped with leaderboard or matrix" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("key", TASKS)
def test_a_table_is_about_the_rows_and_methods_of_today(key, tmp_path):
    family = TASKS[key].family_of("mini")
    setting = load_setting(
        key, next(iter(TASKS[key].recipes)), data=str(build(key, out=tmp_path, family=family)), family=family
    )
    (table,) = [one for one in shipped_tables() if one.row.task == key]
    assert (table.row.split, table.row.backbone) == (setting.info.split, setting.backbone)
    made_for = {method for method in methods_on(setting, table.row.ratio) if not METHODS[method].from_scratch}
    shown = {entry.rows[0].method for entry in table.entries}
    assert shown <= made_for and len(shown) > len(made_for) / 2  # a new method has no row until all are made anew
