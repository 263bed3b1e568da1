"""The packed Space: a self-contained folder that is pushed as it is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import evaluate
import pytest

from mubench.hub_builders.hub.push import publish
from mubench.trainers.evaluation.result import write_result
from tests.cards.conftest import make_row
from tests.fixtures.clients import client, run_client  # noqa: F401  (fixtures)
from tests.fixtures.data import hub, hub_server  # noqa: F401  (fixtures)
from tests.fixtures.serving import serving
from tests.fixtures.walk import RATIO, Walk
from tests.space.conftest import SPACE, Import

ROOT = SPACE.parent

NEEDED = (
    "app.py",
    "page.py",
    "README.md",
    "requirements.txt",
    "style.css",
    "mubench/cards/leaderboard/grouping.py",
    "mubench/cards/leaderboard/formats.py",
    "mubench/cards/results/cifar10-mini-resnet-del10-control-base-s0.json",
)


def test_data_references_and_rows_are_packed_without_runs(space: Import, own_walk: Walk) -> None:
    write_result(make_row(), own_walk.results)
    (own_walk.root / "runs").mkdir()
    out = space("pack").pack(own_walk.root, own_walk.root / "out" / ".." / "packed")
    assert all((out / name).is_file() for name in NEEDED)
    assert {path.name for path in (out / "models").iterdir()} == {
        path.name for path in own_walk.models.iterdir() if "neg-grad" not in path.name and path.name != ".work"
    }
    assert len(list((out / "results").iterdir())) == 1
    assert not (out / "runs").exists() and not list(out.rglob("__pycache__")) and not (out / "pack.py").exists()
    again = space("pack").pack(own_walk.root, out)
    assert again == out and not list(out.parent.glob(".packed*"))


def test_a_damaged_model_folder_is_not_packed(space: Import, own_walk: Walk) -> None:
    damaged = own_walk.models / "cifar10-mini-resnet-s1"
    (damaged / "run.json").write_text("{")
    out = space("pack").pack(own_walk.root, own_walk.root / "packed")
    names = {path.name for path in (out / "models").iterdir()}
    assert "cifar10-mini-resnet" in names and damaged.name not in names


def test_a_folder_with_other_files_is_not_replaced(space: Import, root: Path) -> None:
    (root / "mine").mkdir()
    (root / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"expected a new or empty folder or a packed Space.*mine"):
        space("pack").pack(root, root / "mine")
    assert (root / "mine" / "thesis.txt").read_text() == "years of work"


def test_rows_of_other_tiers_are_not_packed(space: Import, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = space("pack")
    monkeypatch.setattr(pack, "TIER", "full")
    with pytest.raises(ValueError, match=r"expected only tasks of the full tier.*cifar10 \(mini\)"):
        pack.pack(root, root / "packed")
    with pytest.raises(FileNotFoundError, match="mubench build"):
        pack.pack(root / "nowhere", root / "packed")


@pytest.mark.slow
def test_a_packed_space_is_pushed_without_runs(space: Import, own_walk: Walk, hub: Any) -> None:  # noqa: F811
    out = space("pack").pack(own_walk.root, own_walk.root / "packed")
    (out / "runs").mkdir()
    (out / "runs" / "x.json").write_text("{}")
    pushed = publish(out)
    assert pushed.target.kind == "space" and pushed.target.repository.endswith("/mubench-mini")
    assert {"app.py", "requirements.txt", "mubench/trainers/runs/run.py", "mu-bench/README.md"} <= set(pushed.plan.add)
    assert not [name for name in pushed.plan.add if name.startswith("runs") or "__pycache__" in name]
    assert not publish(out).plan
    with pytest.raises(ValueError, match="contains -mini-"):
        publish(out, "me/mubench")


@pytest.fixture
def alone(space: Import, own_walk: Walk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a packed Space in a folder of its own."""
    folder = tmp_path_factory.mktemp("alone") / "space"
    shutil.move(space("pack").pack(own_walk.root, own_walk.root / "packed"), folder)
    return folder


@pytest.mark.slow
def test_the_packed_folder_imports_its_own_package(alone: Path) -> None:
    code = "import page, jobs.worker, mubench.trainers.runs.run as run; print(run.__file__)"
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=alone, env=env, capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith(str(alone))


@pytest.mark.slow
@pytest.mark.nightly
def test_the_packed_folder_starts_and_runs_a_method(alone: Path) -> None:
    with serving(alone, alone.parent, small=True, space=alone) as server:
        client = server.client()
        *_, last = client.submit("cifar10", "resnet", str(RATIO), "scrub", 0, api_name="/try_out")
        assert last["state"] == "finished"
        assert json.loads(client.predict(last["run"], api_name="/row"))["method"] == "scrub"


LOAD = """
import evaluate

name, inputs = sys.argv[1], json.loads(sys.argv[2])
metric = evaluate.load(f"mu-bench/{name}")
print(json.dumps(metric.compute(**inputs)))
"""
METRIC_INPUTS = {
    "membership_inference": {"predictions": [2.0, 1.0, 0.0, 1.5], "references": [1, 1, 0, 0]},
    "mu_score": json.loads((ROOT / "cards" / "evaluate" / "mu_score" / "example.json").read_text()),
}


def test_a_metric_is_packed_under_its_name_alone(space: Import, tmp_path: Path, hub: Any) -> None:  # noqa: F811
    pack = space("pack")
    assert pack.metrics() == sorted(METRIC_INPUTS)
    with pytest.raises(ValueError, match=r"expected a folder called mu_score, as `evaluate` finds .*, got .*other"):
        pack.pack_metric("mu_score", tmp_path / "other")
    (tmp_path / "mu_score").mkdir()
    (tmp_path / "mu_score" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="expected a new or empty folder or a packed Space"):
        pack.pack_metric("mu_score", tmp_path / "mu_score")
    out = pack.pack_metric("mu_score", tmp_path / "packed" / "mu_score")
    with pytest.raises(ValueError, match=r"expected a repository called mu_score, .*, got me/score"):
        publish(out, "me/score")
    assert not hub.log


@pytest.mark.slow  # a process that imports `evaluate`
@pytest.mark.parametrize("name", METRIC_INPUTS)
def test_a_pushed_metric_is_loaded_from_the_hub(
    name: str,
    space: Import,
    tmp_path: Path,
    hub: Any,  # noqa: F811
    run_client: Any,  # noqa: F811
) -> None:
    out = space("pack").pack_metric(name, tmp_path / name)
    pushed = publish(out)
    assert pushed.target.kind == "space" and pushed.target.repository == f"mu-bench/{name}"
    there = hub.repositories["spaces", f"mu-bench/{name}"].head.files
    assert {"app.py", f"{name}.py", "requirements.txt", "mubench/trainers/metrics/attacks.py"} <= there.keys()
    card = there["README.md"].data.decode()
    assert f"mu-bench/{name}" in card and "NAMESPACE" not in card
    found = run_client(LOAD, name, json.dumps(METRIC_INPUTS[name]))
    local = evaluate.load(str(ROOT / "cards" / "evaluate" / name), keep_in_memory=True)
    assert found == local.compute(**METRIC_INPUTS[name])
    assert hub.requests(rf"GET /spaces/mu-bench/{name}/resolve/main/{name}\.py")
    assert not publish(out).plan


@pytest.mark.slow  # imports gradio
def test_a_packed_metric_needs_no_other_copy_of_the_suite(space: Import, tmp_path: Path) -> None:
    out = space("pack").pack_metric("mu_score", tmp_path / "mu_score")
    code = "import app, mubench.trainers.metrics.attacks as used; app.build(); print(used.__file__)"
    env = {"PATH": os.defpath, "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
    done = subprocess.run([sys.executable, "-c", code], cwd=out, env=env, capture_output=True, text=True, check=True)
    assert Path(done.stdout.splitlines()[-1]).is_relative_to(out)
