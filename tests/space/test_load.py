"""Many visitors at once: nobody crashes the server, gets another's result, or leaves memory behind (nightly)."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from gradio_client.client import Job

from mubench.hub_builders.dataset.build import build
from tests.fixtures.browsing import browsing, need_browser
from tests.fixtures.serving import Served, serving
from tests.fixtures.small import LONGEST, STEP_S, ends
from tests.fixtures.walk import RATIO, Walk, quick

pytestmark = [pytest.mark.slow, pytest.mark.nightly]
CLIENTS, RUNNING, SECONDS = 20, 2, 60
# Targets on two idle cores, and how long the load of what came before is given to fall.
UP_S, PAGE_S, RUN_S = 15.0, 3.0, 10.0
SETTLE_S = 180.0
# The ratio that ``make bases`` retrains at.
USUAL_RATIO = 5
# A visitor who starts a long run, tells its name and its steps, and stays until killed.
STAYS = f"""
import sys
from gradio_client import Client
url, seed = sys.argv[1:]
asked = ("cifar10", "resnet", "{RATIO}", "scrub", int(seed), {{"num_train_epochs": {LONGEST}}})
for told in Client(url, verbose=False).submit(*asked, api_name="/try_out"):
    if "step" in told["point"]:
        print(told["run"], told["point"]["steps"], flush=True)
"""
# No run is allowed more seconds.
MOST_S = 180


@pytest.fixture(scope="module")
def walk(walked_once: Walk, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    with quick():
        made = walked_once.copy(tmp_path_factory.mktemp("load") / "served")
        made.judge().controls()
    return made


@pytest.fixture
def served(walk: Walk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(walk.root, tmp_path_factory.mktemp("serve"), small=True) as server:
        yield server


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """All mini digits, with a base and two retrained models: those of MUBENCH_BASES, and trained what is not there."""
    need_browser()
    made = Walk(tmp_path_factory.mktemp("digits"))
    if bases := os.environ.get("MUBENCH_BASES"):
        (made.root / "mu-bench").symlink_to(Path(bases, "mu-bench").resolve())
        for name in ("cifar10-mini-resnet", f"cifar10-mini-resnet*-del{USUAL_RATIO}-retrain-s*"):
            for folder in Path(bases, "models").glob(name):
                shutil.copytree(folder, made.models / folder.name)
    else:
        build("cifar10", out=made.root)
    made.base(0)
    for seed in range(2):
        made.unlearn("retrain", base_seed=seed, ratio=USUAL_RATIO)
    return made


def need_idle_cores() -> None:
    """Wait for the load of what came before to fall; where others keep it up, nothing is timed."""
    end = time.monotonic() + SETTLE_S
    while (load := os.getloadavg()[0]) > 1 and time.monotonic() < end:
        time.sleep(5)
    if load > 1:
        targets = f"up in {UP_S:.0f} s, a page in {PAGE_S:.0f} s and a run in {RUN_S:.0f} s"
        pytest.skip(f"{targets} are targets on two idle cores, got a load of {load:.1f} after {SETTLE_S:.0f} s")


def memory_mb(root: int) -> float:
    """Return the memory that a process and its children have for themselves; what they share counts once."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in listed.splitlines())}
    family = {root}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    total = 0.0
    for pid in family:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has just ended
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon"))
    return total / 1024


def first(job: Job) -> Any:
    """Return what a call says first; iterating over one that has failed would never end."""
    while not job.outputs() and not job.done():
        time.sleep(0.02)
    return (job.outputs() or [job.result()])[0]


def visit(server: Served, number: int, end: float, found: list[Any]) -> None:
    """Read, or run, until the time is over; note what was got and what went wrong."""
    client, other = server.client(), server.client()  # gradio's loses messages now and then where two calls overlap
    while time.monotonic() < end:
        try:
            if number < RUNNING:
                job = client.submit("cifar10", "resnet", str(RATIO), "scrub", number, api_name="/try_out")
                job.result(timeout=MOST_S)
                last = job.outputs()[-1]
                found.append(("run", number, last["request"]["seed"], last["row"]["seed"], last["state"]))
            elif number < RUNNING + 4:
                job = client.submit("cifar10", "resnet", str(RATIO), "finetune", number, api_name="/try_out")
                told = first(job)
                other.predict(told["run"], api_name="/cancel")
                job.result(timeout=MOST_S)
                found.append(("queued", number, told["state"]))
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


def test_a_crowd_is_served_and_leaves_nothing_behind(served: Served, record_property: Any) -> None:
    crowd(served, 10)  # what is kept for later visitors
    time.sleep(5)
    before = memory_mb(served.process.pid)
    found = crowd(served, SECONDS)
    time.sleep(20)  # what visitors have left is noticed
    after = memory_mb(served.process.pid)
    kinds = {kind: sum(one[0] == kind for one in found) for kind in ("run", "queued", "read", "error")}
    record_property("crowd", {**kinds, "before_mb": round(before), "after_mb": round(after)})
    print({**kinds, "before_mb": round(before), "after_mb": round(after)})  # noqa: T201
    assert not [one for one in found if one[0] == "error"]
    assert {(number, seed, own) for kind, number, seed, own, _ in (o for o in found if o[0] == "run")} == {
        (number, number, number) for number in range(RUNNING)
    }
    assert kinds["run"] >= 2 and kinds["read"] >= 20 and kinds["queued"] >= 4
    assert after <= 1.1 * before
    assert served.client().predict("cifar10", api_name="/settings")["chosen"]["task"] == "cifar10"


def test_a_client_that_disconnects_frees_its_place(walk: Walk, served: Served) -> None:
    words = [[sys.executable, "-c", STAYS, served.url, str(seed)] for seed in range(RUNNING)]
    with ExitStack() as stack:
        clients = [stack.enter_context(subprocess.Popen(each, stdout=subprocess.PIPE, text=True)) for each in words]
        said = [client.stdout.readline().split() for client in clients if client.stdout]
        for client in clients:
            client.kill()
    assert all(float(steps) * STEP_S > MOST_S for _, steps in said), "such a run could end by itself"
    told = list(served.client().submit("cifar10", "resnet", str(RATIO), "finetune", 0, api_name="/try_out"))
    assert told[0]["state"] == "waiting" and told[-1]["state"] == "finished"
    end = time.monotonic() + MOST_S
    while not {run for run, _ in said} <= ends(walk.root).keys() and time.monotonic() < end:
        time.sleep(0.5)
    assert [ends(walk.root).get(run) for run, _ in said] == [("cancelled", "its visitor has left")] * RUNNING


def test_the_server_is_up_and_answers_soon(digits: Walk, tmp_path_factory: pytest.TempPathFactory) -> None:
    need_idle_cores()
    start = time.monotonic()
    with serving(digits.root, tmp_path_factory.mktemp("serve")) as server:
        up = time.monotonic() - start
        start = time.monotonic()
        with browsing(server.url) as (page, _):
            shown = time.monotonic() - start
            start = time.monotonic()
            page.get_by_role("button", name="Unlearn and judge").click()
            page.locator("#verdict h3").wait_for()
            ran = time.monotonic() - start
            told = page.locator("#verdict").inner_text()
    print({"up_s": round(up, 1), "page_s": round(shown, 1), "run_s": round(ran, 1)})  # noqa: T201
    assert "scrub on cifar10 (mini tier), resnet, 5 % deleted" in told and told.startswith("S = ")
    assert up <= UP_S and shown <= PAGE_S and ran <= RUN_S
