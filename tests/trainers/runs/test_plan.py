"""A run is resolved once: arguments are constructed once, its identity is hashed once, and few files take part."""

import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from mubench.hub_builders.hub import model_folder
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.runs.commands import run_method
from mubench.trainers.runs.plan import resolve
from tests.fixtures.walk import RATIO

ROOT = Path(__file__).resolve().parents[3]
ROOMS = ("hub_builders", "trainers", "cards")
# A run resolves, trains, predicts and writes in as few files as this; judging has a file a family of metrics.
FILES, JUDGING_FILES = 46, 22
JUDGING = ("trainers/metrics/", "trainers/evaluation/")


class Trace:
    """Counts our functions that are called, by file and name."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self._ours: dict[str, str] = {}

    def __call__(self, frame, event, _):
        code = frame.f_code
        if event != "call" or code.co_name == "<module>":
            return
        if (path := code.co_filename) not in self._ours:
            real = Path(path).resolve()
            inside = real.is_relative_to(ROOT) and real.relative_to(ROOT).parts[0] in ROOMS
            self._ours[path] = real.relative_to(ROOT).as_posix() if inside else ""
        if self._ours[path]:
            self.calls[self._ours[path], code.co_name] += 1

    def __enter__(self):
        threading.setprofile(self)
        sys.setprofile(self)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)
        threading.setprofile(None)

    @property
    def files(self) -> set[str]:
        return {path for path, _ in self.calls}


def test_a_run_from_request_to_row_is_resolved_once(own_walk, monkeypatch):
    own_walk.judge().controls()
    hashed = []
    fingerprint = model_folder.fingerprint
    monkeypatch.setattr(model_folder, "fingerprint", lambda config: hashed.append(config) or fingerprint(config))
    words = ["--task=cifar10", f"--ratio={RATIO}", *own_walk.flags(), f"--results={own_walk.results}"]
    with Trace() as trace:
        printed = run_method("scrub", [*words, "--disable_tqdm=true", "--save_strategy=no"])
    assert printed[2].startswith("row:")
    assert trace.calls["trainers/engine/task_arguments.py", TaskArguments.__post_init__.__name__] == 1
    identities = [config for config in hashed if "outputs" not in config]  # a checksum is over all attributes
    assert [config["method"] for config in identities] == ["scrub"]
    assert trace.calls["hub_builders/hub/model_folder.py", "read_run"] <= 15
    judging = {path for path in trace.files if path.startswith(JUDGING)}
    assert len(trace.files - judging) <= FILES, sorted(trace.files - judging)
    assert len(judging) <= JUDGING_FILES, sorted(judging)


def test_a_plan_names_run_folder_arguments_and_base_model_and_writes_nothing(walked):
    before = {path: path.stat().st_mtime_ns for path in walked.root.rglob("*")}
    plan = resolve(walked.request("scrub", seed=3))
    assert plan.folder == walked.models / "cifar10-mini-resnet-del10-scrub-s3" and not plan.is_complete
    assert (plan.arguments.seed, plan.run.seed, plan.run.arguments["gamma"]) == (3, 3, plan.arguments.gamma)
    assert plan.base_folder == walked.base() and resolve(walked.request("retrain")).base_folder is None
    assert resolve(walked.request("retrain")).is_complete
    assert {path: path.stat().st_mtime_ns for path in walked.root.rglob("*")} == before


@pytest.mark.parametrize("given", [{}, {"gamma": 0.5, "optim": "sgd"}, {"lora_rank": 2}, {"sam_rho": 0.1}])
def test_changed_arguments_are_those_that_a_second_construction_would_find(walked, given):
    """The defaults that changes are compared with are not constructed; they equal constructed ones."""
    plain, plan = (resolve(walked.request("scrub", arguments=one)) for one in ({}, given))
    changed = {key: value for key, value in plan.run.arguments.items() if plain.run.arguments.get(key) != value}
    assert (plan.run.tuned == "custom") == bool(given) and given.items() <= changed.items()
    tuned = resolve(walked.request("scrub", arguments=given, tuned=True)).run
    assert tuned.tuned == ("tuned" if given else "default") and tuned.identity == plan.run.identity
    assert (plan.folder == plain.folder) is not bool(given)
