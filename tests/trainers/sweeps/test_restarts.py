"""Sweeps killed half-way and started again, on both engines, and two engines on one grid at once."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.utils.atomic import WORK
from mubench.trainers.evaluation.result import read_results
from mubench.trainers.sweeps.jobs import Place
from mubench.trainers.sweeps.ray_cluster import RayCluster
from mubench.trainers.sweeps.schedule import run_jobs
from mubench.trainers.sweeps.worker_pool import Workers
from tests.fixtures.demo import copy_models
from tests.fixtures.fake_jobs import FakeModel, lines_of
from tests.fixtures.sessions import left_of
from tests.trainers.sweeps.test_ray_cluster import processes_below

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc, got none"),
]
LIMIT_S = 900.0
GONE_S = 120.0  # a raylet looks for its driver now and then
METHODS, SEEDS = ("finetune", "neg_grad", "random_label", "delete"), (0, 1, 2)
GRID = {
    "tasks": ["cifar10", "cifar100"], "methods": list(METHODS), "options": [{"num_train_epochs": 1}],
    "retrain_seeds": [0, 1], "controls": [], "seeds": list(SEEDS),
}  # fmt: skip
WHOLE = len(METHODS) * len(SEEDS) * 2


class Sweep:
    """A sweep over the grid in a process of its own, the first of a session, with its own folder for sockets."""

    def __init__(self, root: Path, short: str, *words: str) -> None:
        self.log = root / "log"
        command = [sys.executable, "-m", "mubench.trainers", "sweep", "grid.yaml", *words]
        with self.log.open("a") as log:
            env = {**os.environ, "TMPDIR": short}
            out = {"stdout": log, "stderr": log}
            self.process = subprocess.Popen(command, cwd=root, env=env, start_new_session=True, **out)

    def wait(self) -> int:
        return self.process.wait(LIMIT_S)

    def __enter__(self) -> "Sweep":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the data, the grid and the references."""
    root = tmp_path_factory.mktemp("made")
    for task in GRID["tasks"]:
        build(task, out=root)
    base = "cifar10-mini-resnet"
    copy_models(root / "models", base, *(f"{base}-del10-retrain-s{seed}" for seed in GRID["retrain_seeds"]))
    (root / "grid.yaml").write_text(yaml.safe_dump({**GRID, "methods": ["neg_grad"], "seeds": [9]}))
    with Sweep(root, tempfile.gettempdir()) as references:
        assert references.wait() == 0, references.log.read_text()[-2000:]
    for path in [*root.glob("models/*neg-grad*"), root / "results"]:
        shutil.rmtree(path)
    (root / "grid.yaml").write_text(yaml.safe_dump(GRID))
    return root


@pytest.fixture
def short() -> Iterator[str]:
    """Return a folder with a short path, as sockets need."""
    folder = tempfile.mkdtemp(prefix="mb", dir="/tmp")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def rows(root: Path) -> list[tuple[str, str, int]]:
    found = read_results(root / "results") if list(root.glob("results/*.json")) else []
    return [(row.task, row.method, row.seed) for row in found if row.method in METHODS]


@pytest.mark.parametrize(
    "engine", [pytest.param((), id="pool"), pytest.param(("--ray", "local"), id="ray", marks=pytest.mark.nightly)]
)
def test_a_sweep_killed_half_way_is_finished_by_the_next_with_every_row_once(made, tmp_path, short, engine):
    root = tmp_path / "own"
    shutil.copytree(made, root)
    end = time.monotonic() + LIMIT_S
    with Sweep(root, short, *engine) as killed:
        while len(rows(root)) < WHOLE // 3:
            assert killed.process.poll() is None and time.monotonic() < end, killed.log.read_text()[-2000:]
            time.sleep(0.2)
        os.kill(killed.process.pid, signal.SIGKILL)  # alone: what it has started has to notice
    end = time.monotonic() + GONE_S
    while left := [*left_of(killed.process.pid), *processes_below(short)]:
        assert time.monotonic() < end, left
        time.sleep(0.2)
    before = {path: path.stat().st_mtime_ns for path in root.glob("models/*/run.json")}
    assert len(rows(root)) < WHOLE
    with Sweep(root, short, *engine) as again:
        assert again.wait() == 0, again.log.read_text()[-2000:]
    expected = {(task, method, seed): 1 for task in GRID["tasks"] for method in METHODS for seed in SEEDS}
    assert Counter(rows(root)) == expected
    assert {path: path.stat().st_mtime_ns for path in before} == before  # no finished run was made again
    assert not list(root.glob(f"models/{WORK}/claims/*"))
    assert not processes_below(short)


def test_two_engines_on_one_grid_at_once_do_no_run_twice(tmp_path):
    jobs = [FakeModel(Place(models=tmp_path), "cifar10", "resnet", 0, str(n), seconds=0.3) for n in range(16)]
    reports = []

    def work(executor) -> None:
        reports.append(run_jobs(jobs, executor))

    with RayCluster("local", workers=2) as cluster, Workers(2) as pool:
        cluster.submit(FakeModel(Place(models=tmp_path), "cifar10", "resnet", 0, "first"))
        while not cluster.wait(1.0):  # its workers have imported what they need
            pass
        threads = [threading.Thread(target=work, args=(one,)) for one in (cluster, pool)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [len(report.done) for report in reports] == [16, 16]
    assert Counter(lines_of(tmp_path)) == dict.fromkeys(["first", *map(str, range(16))], 1)
