"""A YAML file and data that nobody has prepared become rows of a leaderboard: for images, texts and speech."""

import json

import pytest

from mubench.cards.console import main
from mubench.hub_builders.dataset.built import task_info
from mubench.hub_builders.hub.model_folder import read_runs
from mubench.trainers.evaluation.result import read_results
from tests.own_data import KEYS, make

GRID = """
tasks: [{key}]
ratios: [10]
methods: [finetune, {method}]
base_seeds: [0]
retrain_seeds: [0, 1]
controls: []
workers: 2
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method"), [("images", "scrub"), ("texts", "neg_grad"), ("speech", "bad_teaching")])
def test_a_yaml_file_leads_to_a_leaderboard(name, method, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # the default --data is ./mu-bench
    path, key = make(name, tmp_path / name, rows=240), KEYS[name]
    (tmp_path / "grid.yaml").write_text(GRID.format(key=key, method=method))
    assert main(["build", "--task_file", str(path)]) == 0
    assert main(["sweep", "grid.yaml"]) == 0
    rows = {row.method: row for row in read_results("results") if not row.control}
    info = task_info(key)
    assert rows.keys() == {"finetune", method}
    for row in rows.values():
        assert (row.tier, row.task, row.split) == ("custom", key, info.split)
        assert row.definition.file == info.definition["file"]
        assert row.metrics["gap"].n > 0
    assert all(run.definition["file"] == info.definition["file"] for run in read_runs(tmp_path / "models").values())
    capsys.readouterr()
    assert main(["leaderboard"]) == 0
    board = capsys.readouterr().out
    assert f"{key} (custom), " in board and "finetune" in board and method in board
    assert main(["cards"]) == 0
    card = (tmp_path / "mu-bench" / "README.md").read_text()
    assert f"(`{key}`, custom)" in card and info.definition["file"] in card
    # The rows say all that a leaderboard needs, wherever they are.
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "results").rename(tmp_path / "elsewhere" / "results")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["leaderboard"]) == 0
    assert capsys.readouterr().out.count(f"{key} (custom), ") == 1
    assert all(
        json.loads(file.read_text())["definition"]["title"] for file in (tmp_path / "elsewhere").rglob("*-s0-*.json")
    )
