"""The shipped result rows are complete, and about the rows that the suite builds today."""

import itertools
import json
from pathlib import Path

import pytest
import yaml

from mubench.cards.__main__ import main
from mubench.cards.evidence import recompute
from mubench.cards.leaderboard import SHIPPED, shipped_tables
from mubench.hub_builders.tasks import TASKS
from mubench.trainers.evaluation.controls import CONTROLS
from mubench.trainers.evaluation.result import read_results
from mubench.trainers.metrics.score import SCORE_VERSION
from mubench.trainers.metrics.signal_gate import SIGNAL_LIMIT
from mubench.trainers.sweeps.grid_file import read_grid
from mubench.trainers.tuning.trials import Trial, best_trial

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shipped():
    return [row for row in read_results(SHIPPED) if not row.control]


def tables_of(*, mini):
    return [table for table in shipped_tables() if (table.row.tier == "mini") == mini]


def test_there_is_a_table_of_every_mini_task():
    found, keys = tables_of(mini=True), sorted(TASKS)
    assert [(one.row.task, one.row.tier) for one in found] == [(key, "mini") for key in keys]
    assert [one.row.ratio for one in found] == [10] * len(keys)
    assert [one.row.backbone for one in found] == [next(iter(TASKS[key].recipes)) for key in keys]
    assert {one.row.score_version for one in found} == {SCORE_VERSION}
    assert not [one.title for one in found if {entry.rows[0].method for entry in one.controls} != set(CONTROLS)]
    assert all(not one.row.provisional and len(one.curve) == 7 for one in found)
    assert max(one.row.row_spread for one in found) <= SIGNAL_LIMIT and not any(one.no_signal for one in found)


def test_a_table_of_real_rows_is_whole():
    """It has the controls, the curve, 3 base and 5 retrained models, and 14 methods, or 7 in an analysis."""
    found = tables_of(mini=False)
    assert found and {one.row.score_version for one in found} == {SCORE_VERSION}
    for table in found:
        controls = {entry.rows[0].method: entry for entry in table.controls}
        assert controls.keys() == set(CONTROLS) and len(table.curve) == 7, table.title
        assert len(controls["base"].rows) >= 3 and len(controls["retrain"].rows) >= 5, table.title
        methods = {row.method for entry in table.entries for row in entry.rows}
        grid = yaml.safe_load((ROOT / "cards/grids" / f"{table.row.task}.yaml").read_text())
        own = table.row.ratio in grid["ratios"] and table.row.backbone in grid["backbones"]
        assert len(methods) >= (14 if own else 7), table.title
        assert not table.row.provisional, table.title
        assert not table.no_signal or table.row.ratio != 10, table.title  # an analysis may find none
        assert max(controls["base"].score, controls["constant"].score) <= 0.05 and controls["retrain"].score >= 0.7, (
            table.title
        )


def test_controls_of_shipped_tables_score_as_they_should():
    """Held-out retrained models reach .85 on average; bases, flipped and constant answers do not exceed .05."""
    for table in tables_of(mini=True):
        scores = {entry.rows[0].method: entry.score for entry in table.controls}
        assert scores["retrain"] >= 0.85, table.title
        assert max(scores["base"], scores["flip_cheat"], scores["constant"]) <= 0.05, table.title


def test_a_look_up_table_fails_on_shifted_rows_where_these_have_a_signal():
    values = [
        (row.task, row.metrics["row_shifted"].value)
        for row in read_results(SHIPPED)
        if row.method == "quantile_cheat" and row.tier == "mini" and "row_shifted" in row.metrics
    ]
    assert {task for task, _ in values} == {"celeb_profile", "cifar10", "samsum", "tofu", "ucf101"}
    assert min(value for _, value in values) >= 0.5


@pytest.mark.slow
def test_every_shipped_score_is_recomputed_from_its_evidence():
    assert recompute.main(str(SHIPPED), str(SHIPPED.parent / "evidence")) <= 1e-9


def arguments_of_defaults(shipped, task):
    rows = [row for row in shipped if (row.task, row.ratio, row.tuned) == (task, 10, "default") and row.tier != "mini"]
    return {(row.method, row.base_seed): row.arguments for row in rows}


CUSTOM_ROWS = {
    "imdb": {"curriculum": "superloss", "curriculum_lambda": 10.0},
    "ddi2013": {"lora_rank": 8, "lora_alpha": 16.0, "lora_dropout": 0.0, "lora_targets": None},
}


def test_custom_rows_are_those_of_analyses_and_rows_are_flagged_where_nothing_has_changed(shipped):
    assert {(row.task, row.method): row.flags for row in shipped if row.flags and row.tier == "mini"} == {
        ("tiny_imagenet", "ssd"): ["equals_base"]
    }
    others = [row for row in shipped if row.tuned == "custom"]
    assert {(row.task, row.tier) for row in others} == {(task, "full") for task in CUSTOM_ROWS}
    plain = {task: arguments_of_defaults(shipped, task) for task in CUSTOM_ROWS}
    for row in others:
        changed = plain[row.task][row.method, row.base_seed] | CUSTOM_ROWS[row.task]
        assert row.arguments == changed, row.run_id


# Tasks with tuned rows, and how the files of their trials begin.
TUNED_ROWS = {
    "speech_commands": "audio_classification-conv-whisper-del10",
    "ddi2013": "text_classification-small-modernbert-del10",
}


@pytest.mark.parametrize("task", TUNED_ROWS)
def test_tuned_rows_have_the_best_arguments_of_the_trials_that_ship(shipped, task):
    grid = read_grid(ROOT / "cards" / "grids" / "analyses" / f"{task}_tuned.yaml")
    plain = arguments_of_defaults(shipped, task)
    rows = [row for row in shipped if (row.task, row.tuned) == (task, "tuned")]
    changed = {method for method, given in grid.methods.items() if given}
    assert {(row.method, row.base_seed) for row in rows} == set(itertools.product(changed, grid.base_seeds))
    for method, given in grid.methods.items():
        path = ROOT / "cards" / "trials" / "real" / f"{TUNED_ROWS[task]}-{method}.json"
        found = json.loads(path.read_text())
        trials = [Trial(**one) for one in found["trials"]]
        assert given == best_trial(trials).arguments and trials[0].arguments == {}
        assert "deletion seed 1" in found["about"]["draws"][0]
    for row in rows:
        assert row.arguments == plain[row.method, row.base_seed] | grid.methods[row.method], row.run_id


def test_no_other_row_is_tuned(shipped):
    assert {row.task for row in shipped if row.tuned == "tuned"} == set(TUNED_ROWS)


def test_the_readme_names_the_tasks_with_real_rows(shipped):
    *names, last = (f"`{task}`" for task in sorted({row.task for row in shipped if row.tier != "mini"}))
    assert f"Real rows of {', '.join(names)} and {last} ship" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("table", shipped_tables(), ids=lambda table: table.title)
def test_all_rows_of_a_table_are_judged_against_the_same_models(table):
    retrained = {}
    for row in (row for entry in table.entries for row in entry.rows):
        for name, metric in row.metrics.items():
            retrained.setdefault(name, []).extend([] if metric.retrained is None else [metric.retrained])
    assert len(retrained["score"]) > 10
    assert not {name: each for name, each in retrained.items() if each and max(each) - min(each) > 0.01}


@pytest.mark.parametrize("what", ["leaderboard", "matrix"])
def test_shipped_tables_are_printed(what, capsys):
    assert main([what, "--shipped"]) == 0
    output = capsys.readouterr().out
    assert all(key in output for key in TASKS)


def test_the_leaderboard_of_some_tasks_has_their_tables_alone(capsys):
    assert main(["leaderboard", "--shipped", "--task", "imdb", "ddi2013"]) == 0
    titles = [line for line in capsys.readouterr().out.splitlines() if " % deleted, " in line]
    assert {title.split()[0] for title in titles} == {"imdb", "ddi2013"} and len(titles) == 5
    assert main(["leaderboard", "--shipped", "--task", "imbd"]) == 2
    assert capsys.readouterr().err.endswith("got 'imbd'; did you mean 'imdb'?\n")


def test_shipped_rows_get_no_cards(capsys):
    for words in (["--shipped"], ["matrix", "--shipped", "--results", "elsewhere"]):
        assert main(words) == 2
        assert "expected --shipped with leaderboard or matrix" in capsys.readouterr().err
