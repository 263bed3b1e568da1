"""Ray: the same jobs on a local cluster of two workers, one that dies, and what is refused without Ray."""

import importlib.util
import os
import socket
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from mubench.trainers.__main__ import main
from mubench.trainers.sweeps import ray_cluster
from mubench.trainers.sweeps.jobs import Place
from mubench.trainers.sweeps.ray_cluster import RayCluster
from mubench.trainers.sweeps.schedule import run_jobs
from tests.fixtures.fake_jobs import FakeRun, lines_of


def processes_below(folder: str) -> list[str]:
    """Return the command lines that name a folder: those of a cluster name its session's."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if folder in line:
            found.append(line)
    return found


def test_without_ray_a_sweep_is_refused_in_one_line(own_walk, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "ray" else find(name, *a))
    words = ["sweep", "--task=cifar10", "--ratio=10", "--methods=finetune", "--ray=local", *own_walk.flags()]
    assert main(words) == 2
    line = "mubench: expected the package ray to run sweeps on a cluster, got none: pip install 'mubench[sweep]'\n"
    assert capsys.readouterr().err == line


@pytest.mark.slow
def test_a_killed_worker_of_ray_costs_one_run_and_no_process_is_left(tmp_path):
    place = Place(models=tmp_path)

    def run(name: str, **fields) -> FakeRun:
        return FakeRun(place, "cifar10", "resnet", 0, name, **fields)

    jobs = [run("bad", fault="kill"), run("base"), run("wrong", fault="no luck"), run("blocked", first=("bad",))]
    jobs += [run(str(number), first=("base",), seconds=0.1) for number in range(8)]
    with RayCluster("local", workers=2) as cluster:
        report = run_jobs(jobs, cluster)
        folder = str(cluster._folder)
        assert processes_below(folder)
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    reasons = {job.name: reason for job, reason in report.failed}
    assert reasons.keys() == {"bad", "wrong"} and reasons["wrong"] == "no luck"
    assert reasons["bad"].startswith("expected the Ray worker to finish the job, got WorkerCrashedError")
    assert [job.name for job in report.blocked] == ["blocked"]
    assert Counter(lines_of(tmp_path)) == dict.fromkeys(["bad", "base", "wrong", *map(str, range(8))], 1)
    end = time.monotonic() + 30
    while processes_below(folder):
        assert time.monotonic() < end, processes_below(folder)
        time.sleep(0.1)
    assert not Path(folder).exists()


def test_no_cluster_at_an_address_is_one_line():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"  # bound, and nobody listens
        with pytest.raises(FileNotFoundError, match=f"^expected a Ray cluster at {address}, got: .*refused"):
            RayCluster(address).__enter__()


class FakeRay(SimpleNamespace):
    """A Ray that starts nothing, on a machine without GPUs."""

    def __init__(self, fault: str = "", opened: bool = False) -> None:
        super().__init__(fault=fault, opened=opened, calls=[])

    def is_initialized(self) -> bool:
        return self.opened

    def init(self, **_: object) -> None:
        self.calls.append("init")
        if self.fault:
            raise RuntimeError(self.fault)

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def nodes(self) -> list[dict[str, object]]:
        return [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}]

    def remote(self, _: object) -> SimpleNamespace:
        task = SimpleNamespace(remote=lambda *_: object())
        return SimpleNamespace(options=lambda **_: task)

    def cancel(self, _: object, **__: object) -> None:
        self.calls.append("cancel")

    def shutdown(self) -> None:
        self.calls.append("shutdown")


@pytest.mark.parametrize(
    ("ray", "message", "calls"),
    [
        (FakeRay(), "^expected at most the 0 GPUs of this machine a run, got 1$", ["init", "shutdown"]),
        (FakeRay("no raylet"), "^no raylet$", ["init", "shutdown"]),
        (FakeRay("a session is open", opened=True), "^a session is open$", ["init"]),
    ],
)
def test_a_cluster_that_cannot_be_used_is_ended_with_its_folder(ray, message, calls, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ray_cluster, "require", lambda _: ray)
    with pytest.raises((ValueError, RuntimeError), match=message), RayCluster("local", gpus=1):
        pass
    assert ray.calls == calls and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"cpus": 2.0}, ""),
        ({"cpus": 4.0}, "no node of the Ray cluster has 4 cores and 0 GPUs at present: runs wait until one joins"),
        ({"gpus": 0.5}, "no node of the Ray cluster has 1 cores and 0.5 GPUs at present: runs wait until one joins"),
    ],
)
def test_a_run_that_no_node_of_a_cluster_can_hold_is_a_warning(wanted, message, monkeypatch, caplog):
    monkeypatch.setattr(ray_cluster, "require", lambda _: FakeRay())
    with RayCluster("auto", **wanted):
        assert [record.message for record in caplog.records] == [message] * bool(message)


@pytest.mark.parametrize(("cpus", "count"), [(1.0, 2), (0.5, 4), (2.0, 1)])
def test_as_many_jobs_run_as_the_cluster_has_cores_for(cpus, count, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ray = FakeRay()
    monkeypatch.setattr(ray_cluster, "require", lambda _: ray)
    jobs = [FakeRun(Place(models=tmp_path), "cifar10", "resnet", 0, str(number)) for number in range(5)]
    with RayCluster("local", cpus=cpus) as cluster:
        for job in jobs:
            cluster.submit(job)
        assert cluster.running() == jobs[:count]
    assert ray.calls == ["init", *["cancel"] * 5, "shutdown"]
