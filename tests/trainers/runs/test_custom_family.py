"""A custom forget set, of any size, through base model, retraining and unlearning."""

import pytest

from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task
from mubench.hub_builders.hub.model_folder import read_run
from mubench.trainers.__main__ import main
from mubench.trainers.evaluation.group import find_group
from mubench.trainers.models.base_models import train_base
from mubench.trainers.models.setting import load_setting
from mubench.trainers.runs.plan import UnlearningRequest, resolve
from mubench.trainers.runs.run import unlearn
from mubench.trainers.sweeps.jobs import QUIET
from tests.fixtures.walk import COUNTS, few, quick

LISTED = 59
RATIO = 37  # the nearest whole percentage of 160


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a dataset folder whose forget set is a list of 59 of 160 rows."""
    root = tmp_path_factory.mktemp("custom")
    with quick():
        names = [row["example_id"] for row in few(COUNTS)["train"]][:LISTED]
        (root / "ids.txt").write_text("\n".join(names))
        yield build("cifar10", out=root, family="custom", forget_ids=root / "ids.txt")


def request(data, tmp_path, method, **changes):
    setting = load_setting("cifar10", "resnet", data=str(data), family="custom")
    return UnlearningRequest(setting=setting, method=method, ratio=RATIO, models=tmp_path, arguments=QUIET, **changes)


@pytest.mark.slow
def test_a_set_of_a_third_of_the_rows_is_unlearned_and_judged(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    setting = request(data, tmp_path, "retrain").setting
    base = train_base(setting, 0, models=tmp_path / "models", **QUIET)
    assert base.name == "cifar10-mini-custom-resnet"
    for seed in (0, 1):
        folder = unlearn(resolve(request(data, tmp_path / "models", "retrain", base_seed=seed)))
        assert folder.name == f"cifar10-mini-custom-resnet-del37-retrain-s{seed}"
    flags = ["--task=cifar10", "--family=custom", f"--data={data}", f"--ratio={RATIO}", "--disable_tqdm=true"]
    assert main(["neg_grad", *flags]) == 0
    (row,) = (tmp_path / "results").glob("*neg-grad*.json")
    assert '"family": "custom"' in row.read_text() and '"ratio": 37' in row.read_text()
    group = find_group(setting, RATIO, tmp_path / "models")
    assert {split: len(one) for split, one in group.outputs(base).items()} == {
        "forget": LISTED, "retain": COUNTS["train"] - LISTED, "validation": 20, "test": 60, "shifted": LISTED,
    }  # fmt: skip


def test_forget_and_retain_sets_are_the_rows_listed_and_the_others(data, tmp_path):
    setting = request(data, tmp_path, "retrain").setting
    _, processor = setting.fresh_model(0)
    sets = setting.forget_retain_sets(RATIO, processor)
    assert {split: len(rows) for split, rows in sets.items()} == {"forget": 59, "retain": 101}
    assert len(load_task("cifar10", RATIO, data=data, family="custom")["forget"]) == LISTED


@pytest.mark.parametrize("command", ["retrain", "references", "sweep"])
def test_another_ratio_names_the_one_there_is(data, tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    for flags, message in (
        (["--ratio=5"], "ratio of cifar10 (custom family) must be one of 37, got 5"),
        (["--ratio=100"], "ratio must be a whole percentage from 1 to 99, got '100'"),
        ([], "must be one of 37, got 10"),
    ):
        assert main([command, "--task=cifar10", "--family=custom", f"--data={data}", *flags]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_run_of_another_family_is_no_run_of_this_one(data, tmp_path):
    folder = unlearn(resolve(request(data, tmp_path, "retrain")))
    with quick():
        other = build("cifar10", out=tmp_path)
    setting = load_setting("cifar10", "resnet", data=str(other))
    assert read_run(folder).family == "custom"
    assert not find_group(setting, 10, tmp_path).retrained and not find_group(setting, RATIO, tmp_path).retrained
