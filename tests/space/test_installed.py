"""The packed Space, installed from wheels only, runs a method on real digits (nightly)."""

import os
import shutil
import subprocess
import tempfile
import threading
import venv
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mubench.hub_builders.dataset.build import build
from tests.fixtures.serving import ROOT, start_server
from tests.fixtures.walk import RATIO, Walk
from tests.space.conftest import Import

pytestmark = [pytest.mark.slow, pytest.mark.nightly]
LOCK = ROOT / "requirements.lock"
MODULES = (
    "import torch, gradio, mubench.trainers.runs.run as run; print(torch.__file__, gradio.__file__, run.__file__)"
)


@pytest.fixture
def empty() -> Iterator[Path]:
    """Return an empty folder that is removed after the test: wheels and their installation take 2 GB."""
    with tempfile.TemporaryDirectory(prefix="mubench-alone-") as folder:
        yield Path(folder).resolve()


def python_in(home: Path) -> str:
    """Return an interpreter that has pip and nothing else."""
    venv.create(home, with_pip=True, symlinks=True)
    return str(home / "bin" / "python")


def is_offline(error: str) -> bool:
    """Return whether pip could not reach the index; other failures are the lock's fault."""
    return "connection broken by" in error and ("(from versions: none)" in error or "Max retries exceeded" in error)


def collect_wheels(python: str, out: Path) -> None:
    """Collect the wheels of the lock, and those that torch needs on this machine, from pip's index.

    The test is skipped if the index cannot be reached; any other failure of pip is a failure.
    """
    wheel = [python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--require-hashes", "--wheel-dir", str(out)]
    for lock in (LOCK, ROOT / "requirements-cuda.lock"):
        if lock != LOCK and list(out.glob("torch-*+cpu-*")):
            continue
        done = subprocess.run([*wheel, "--requirement", str(lock)], capture_output=True, text=True, check=False)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip gave no reason"]
            if is_offline(done.stderr):
                pytest.skip(f"needs an index with the wheels of requirements.lock, could not reach it: {errors[0]}")
            pytest.fail(f"expected wheels of requirements.lock, got from pip: {errors[0]}")


def pack_digits(space: Import, root: Path) -> Path:
    """Build the digits, train a base and a retrained model as ``make data bases`` does, and pack them."""
    build("cifar10", out=root)
    walk = Walk(root)
    walk.base(0)
    walk.unlearn("retrain", base_seed=0)
    return Path(space("pack").pack(root, root / "packed"))


@pytest.fixture
def empty_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    """Serve an index without packages on the loopback, and make it pip's index."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("PIP_RETRIES", "1")
        yield server
        server.shutdown()


def test_an_index_without_the_version_fails_and_one_out_of_reach_skips(empty_index: HTTPServer, empty: Path) -> None:
    python = python_in(empty / "venv")
    either = (pytest.fail.Exception, pytest.skip.Exception)  # an uncaught skip would skip this test
    with pytest.raises(either, match=r"got from pip: ERROR: .*from versions: none"):
        collect_wheels(python, empty / "wheels")
    empty_index.shutdown()
    empty_index.server_close()
    with pytest.raises(either, match="could not reach it: ERROR: "):
        collect_wheels(python, empty / "wheels")


def test_the_packed_folder_installs_starts_and_runs_a_method(space: Import, tmp_path: Path, empty: Path) -> None:
    python, wheels, alone = python_in(empty / "venv"), empty / "wheels", empty / "space"
    collect_wheels(python, wheels)
    shutil.move(pack_digits(space, tmp_path), alone)
    env = {"PATH": os.defpath, "HOME": str(empty / "home"), "PIP_CONFIG_FILE": os.devnull}
    install = [python, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", str(wheels)]
    # No other packages are visible: an incomplete requirement fails here.
    subprocess.run([*install, "--requirement", "requirements.txt"], cwd=alone, env=env, check=True)
    found = subprocess.run([python, "-c", MODULES], cwd=alone, env=env, capture_output=True, text=True, check=True)
    torch, gradio, run = map(Path, found.stdout.split())
    assert torch.is_relative_to(empty / "venv") and gradio.is_relative_to(empty / "venv") and run.is_relative_to(alone)
    with start_server([python, "-u", "app.py"], alone, env) as server:
        client = server.client()
        *_, last = client.submit("cifar10", "resnet", str(RATIO), "scrub", 0, api_name="/try_out")
        assert last["state"] == "finished"
        assert all(len(last["scores"][name]) == 1 for name in ("this run", "base", "retrained"))
        assert client.predict(last["run"], api_name="/result")["scores"] == last["scores"]
