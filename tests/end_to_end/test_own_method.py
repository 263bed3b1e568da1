"""The method of the documentation gives rows on two tasks; without its file every command still works."""

import dataclasses
import hashlib
from pathlib import Path

import pytest
import yaml

from mubench.cards.console import main
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.hub.model_folder import read_runs
from mubench.hub_builders.tasks import TASKS
from mubench.trainers.evaluation.result import read_results
from tests.fixtures.walk import COUNTS, files, quick
from tests.pages import blocks, page

KEY = "my_method"
METHOD = blocks(page("own_method"), "python")[0]
ON_ONE_TASK = ["--task=cifar10", "--ratio=10"]


def commands(row: Path, folder: Path) -> list[list[str]]:
    """Return a line of every command that reads data, models or rows, and ends within seconds."""
    runs = ["--methods=finetune", "--seeds=0", "--base_seeds=0", "--retrain_seeds", "0", "1", "--workers=1"]
    return [
        ["build", "cifar10"],
        ["backbones", "cifar10"],
        ["methods"],
        ["metrics"],
        ["base", "--task=cifar10"],
        ["finetune", *ON_ONE_TASK, "--disable_tqdm=true"],
        ["rerun", str(row)],
        ["sweep", "grid.yaml", "--workers=1"],
        ["sweep", "grid.yaml", "--dry_run"],
        ["sweep", *ON_ONE_TASK, "--dry_run", *runs],
        ["matrix", "--dry_run", *runs],
        ["robustness", *ON_ONE_TASK, f"--methods={KEY}"],
        ["judge", str(folder), "--task=cifar10", "--name=adopted"],
        ["cards"],
        ["cards", "matrix"],
    ]


@pytest.fixture
def two_tasks(tmp_path, monkeypatch):
    """Small cifar10 and imdb in the current folder, with quick recipes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(TASKS["imdb"].recipes, "bert", dataclasses.replace(TASKS["imdb"].recipes["bert"], epochs=1))
    with quick(COUNTS):
        for task in ("cifar10", "imdb"):
            build(task, out=tmp_path)
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("two_tasks")
def test_thirty_lines_give_rows_on_two_tasks_through_a_sweep(tmp_path, capsys):
    """Both tasks, in a process of the pool each; a changed file is another run, and without it a second sweep ends."""
    assert len(METHOD.splitlines()) <= 30
    (method := tmp_path / f"{KEY}.py").write_text(METHOD)
    grid = {"tasks": ["cifar10", "imdb"], "methods": [KEY], "method_file": method.name, "controls": []}
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump({**grid, "retrain_seeds": [0, 1]}))
    assert main(["sweep", "grid.yaml", "--workers=1"]) == 0
    rows = [row for row in read_results("results") if row.method == KEY]
    assert sorted(row.task for row in rows) == ["cifar10", "imdb"]
    assert {row.method_file for row in rows} == {hashlib.sha256(METHOD.encode()).hexdigest()}
    before = files(tmp_path / "models")
    assert main(["sweep", "grid.yaml", "--workers=1"]) == 0
    assert files(tmp_path / "models") == before
    method.write_text(METHOD.replace("-0.5", "-0.25"))
    assert main(["sweep", "grid.yaml", "--workers=1"]) == 0
    runs = {folder: run for folder, run in read_runs(tmp_path / "models").items() if run.method == KEY}
    assert len({run.identity for run in runs.values()}) == 4
    method.unlink()
    capsys.readouterr()
    assert main(["sweep", "grid.yaml", "--workers=1"]) == 2
    assert "expected a file of methods at" in (error := capsys.readouterr().err) and error.count("\n") == 1
    # All others.
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump({**grid, "methods": ["finetune"], "method_file": None}))
    assert main(["sweep", "grid.yaml", "--workers=1"]) == 0
    (row,) = Path("results").glob("cifar10-*-finetune-s0-*.json")
    folder = next(folder for folder, run in runs.items() if run.task == "cifar10")
    for command in commands(row, folder):
        assert main(command) == 0, (command, capsys.readouterr().err)
    assert main(["ensemble", *ON_ONE_TASK, f"--method={KEY}"]) == 2  # a pool of this size takes minutes
    assert f"expected at least 9 runs of {KEY} and 9 retrained models, got 2 and " in capsys.readouterr().err
    assert main(["leaderboard"]) == 0
    assert capsys.readouterr().out.count(f"{KEY} (custom method") >= 4
