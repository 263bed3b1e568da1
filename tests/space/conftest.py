"""Imports of the Space's modules, which are in no package, and folders for them to work in."""

import importlib
import json
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mubench.hub_builders.dataset.build import build
from mubench.trainers.evaluation.result import write_result
from tests.cards.conftest import demo_rows, make_row  # noqa: F401  (a fixture)
from tests.fixtures.shared import Shared
from tests.fixtures.walk import Walk

SPACE = Path(__file__).resolve().parents[2] / "space"
Import = Callable[[str], ModuleType]


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> Import:
    """Return a function that imports a module of the Space."""
    monkeypatch.syspath_prepend(SPACE)
    return importlib.import_module


@pytest.fixture(scope="session")
def datasets(shared: Shared) -> Path:
    """Build an image task, a text task and a task with groups; tests only read it."""

    def make(root: Path) -> None:
        for task in ("cifar10", "imdb", "ddi2013"):
            build(task, out=root)
        build("ddi2013", out=root, family="group")

    return shared("space", make)


@pytest.fixture
def root(datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder to serve that holds only data, and make it the working directory."""
    for folder in datasets.iterdir():
        (tmp_path / folder.name).symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def walking(own_walk: Walk, monkeypatch: pytest.MonkeyPatch) -> Walk:
    """Return a finished walk of the small task, and make its folder the working directory."""
    monkeypatch.chdir(own_walk.root)
    return own_walk


def write_run(score: float = 0.8, ids: Sequence[str] = (), **request: Any) -> str:
    """Write a finished run on cifar10, with rows of these ids, and return its name."""
    name = secrets.token_hex(12)
    folder = Path("runs", name)
    (folder / "models" / "m").mkdir(parents=True)
    (folder / "models" / "m" / "config.json").write_text("{}")
    fields = {"task": "cifar10", "family": "canonical", "backbone": "resnet", "ratio": 5, "method": "scrub", **request}
    losses = {"forget": [0.01, 0.1, 1.0, 4.0], "retain": [0.01] * 8, "test": [0.01, 0.1, 1.0, 2.0, 4.0]}
    prediction = {"prediction": "3", "score": 1.0, "loss": 0.1}
    outcome = {
        "scores": {
            "this run": [{"forget": score, "retain": 1.0, "test": 0.7}],
            "base": [{"forget": 1.0, "retain": 1.0, "test": 0.7}],
            "retrained": [{"forget": 0.5, "retain": 1.0, "test": 0.71}, {"forget": 0.6, "retain": 1.0, "test": 0.69}],
        },
        "losses": {"this run": losses, "base": {**losses, "forget": [0.01] * 4}, "retrained": losses},
        "metrics": [
            {"name": "row", "run": 0.2, "base": 1.0, "retrained": None, "better": "lower", "title": "distance"},
        ],
        "rows": [
            {"id": name, "base": prediction, "unlearned": {**prediction, "loss": 0.1 * i}, "retrained": prediction}
            for i, name in enumerate(ids)
        ],
        "cost": {"seconds": 2.0, "forward": 300, "backward": 300},
        "retraining_s": [4.0, 4.0],
        "model": "m",
        "took_s": 3.0,
    }
    points = [{"step": s, "steps": 2, "seconds": 1.0, "forget": 0.1 * s, "retain": 0.1} for s in range(3)]
    for file, content in (("request.json", fields), ("outcome.json", outcome), ("points.json", points)):
        (folder / file).write_text(json.dumps(content))
    write_result(make_row(fields["method"], score=score, seed=fields.get("seed", 0)), folder / "rows")
    return name
