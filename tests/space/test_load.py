"""Many concurrent visitors: the server keeps running, and everybody gets the results of their own runs (nightly)."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from gradio_client.client import Job

from tests.fixtures.serving import Served, serving
from tests.fixtures.small import LONGEST, STEP_S, ends
from tests.fixtures.walk import RATIO, Walk, quick

pytestmark = [pytest.mark.slow, pytest.mark.nightly]
CLIENTS, RUNNING, SECONDS = 20, 2, 60
# A visitor who starts a long run, prints its name and its steps, and stays until killed.
VISITOR = f"""
import sys
from gradio_client import Client
url, seed = sys.argv[1:]
address = {{"X-Forwarded-For": f"192.0.2.{{seed}}"}}
request = ("cifar10", "resnet", "{RATIO}", "scrub", int(seed), {{"num_train_epochs": {LONGEST}}})
for status in Client(url, verbose=False, headers=address).submit(*request, api_name="/try_out"):
    if "step" in status["point"]:
        print(status["run"], status["point"]["steps"], flush=True)
"""
# The limit of a run in seconds.
LIMIT_S = 180


@pytest.fixture(scope="module")
def walk(walked_once: Walk, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    with quick():
        walk = walked_once.copy(tmp_path_factory.mktemp("load") / "served")
        walk.judge().controls()
    return walk


@pytest.fixture
def served(walk: Walk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(walk.root, tmp_path_factory.mktemp("serve"), small=True, proxies=1) as server:
        yield server


def first(job: Job) -> Any:
    """Return the first output of a call; iterating over a call that has failed would never end."""
    while not job.outputs() and not job.done():
        time.sleep(0.02)
    return (job.outputs() or [job.result()])[0]


def visit(server: Served, number: int, end: float, found: list[Any]) -> None:
    """Read or run until the time is over; record results and errors."""
    client, other = (
        server.client(f"192.0.2.{number}") for _ in range(2)
    )  # gradio's client sometimes loses messages of overlapping calls
    while time.monotonic() < end:
        try:
            if number < RUNNING:
                job = client.submit("cifar10", "resnet", str(RATIO), "scrub", number, api_name="/try_out")
                job.result(timeout=LIMIT_S)
                last = job.outputs()[-1]
                found.append(("run", number, last["request"]["seed"], last["row"]["seed"], last["state"]))
            elif number < RUNNING + 4:
                job = client.submit("cifar10", "resnet", str(RATIO), "finetune", number, api_name="/try_out")
                status = first(job)
                other.predict(status["run"], api_name="/cancel")
                job.result(timeout=LIMIT_S)
                found.append(("queued", number, status["state"]))
            else:
                client.predict("cifar10", api_name="/settings")
                client.predict({}, api_name="/leaderboard")
                client.predict("canonical", "cifar10", str(RATIO), api_name="/data")
                found.append(("read", number))
        except Exception as error:
            found.append(("error", number, str(error)))
        time.sleep(0.2)


def crowd(server: Served, seconds: float) -> list[Any]:
    found: list[Any] = []
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=visit, args=(server, i, end, found)) for i in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_a_crowd_is_served(served: Served) -> None:
    found = crowd(served, SECONDS)
    kinds = {kind: sum(each[0] == kind for each in found) for kind in ("run", "queued", "read", "error")}
    assert not [each for each in found if each[0] == "error"]
    assert {(number, seed, own) for kind, number, seed, own, _ in (each for each in found if each[0] == "run")} == {
        (number, number, number) for number in range(RUNNING)
    }
    assert kinds["run"] >= 2 and kinds["read"] >= 20 and kinds["queued"] >= 4
    assert served.client().predict("cifar10", api_name="/settings")["chosen"]["task"] == "cifar10"


def test_a_client_that_disconnects_frees_its_place(walk: Walk, served: Served) -> None:
    commands = [[sys.executable, "-c", VISITOR, served.url, str(seed)] for seed in range(RUNNING)]
    with ExitStack() as stack:
        clients = [stack.enter_context(subprocess.Popen(each, stdout=subprocess.PIPE, text=True)) for each in commands]
        runs = [client.stdout.readline().split() for client in clients if client.stdout]
        for client in clients:
            client.kill()
    assert all(float(steps) * STEP_S > LIMIT_S for _, steps in runs), "such a run could end by itself"
    stream = list(served.client().submit("cifar10", "resnet", str(RATIO), "finetune", 0, api_name="/try_out"))
    assert stream[0]["state"] == "waiting" and stream[-1]["state"] == "finished"
    end = time.monotonic() + LIMIT_S
    while not {run for run, _ in runs} <= ends(walk.root).keys() and time.monotonic() < end:
        time.sleep(0.5)
    assert [ends(walk.root).get(run) for run, _ in runs] == [("cancelled", "its visitor has left")] * RUNNING
