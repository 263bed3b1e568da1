"""The owner of what is being made: who waits, what the line names, and what a killed owner leaves."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mubench.hub_builders.utils import atomic
from mubench.hub_builders.utils.atomic import claimed, owned

HOLD = """
import sys, time
from pathlib import Path
from mubench.hub_builders.utils.atomic import owned
lock, purpose, end = sys.argv[1:]
with owned(Path(lock), purpose) as finished:
    print("finished" if finished else "owner", flush=True)
    if end == "wait":
        time.sleep(60)
    sys.stdin.readline()
    if end == "fail":
        raise ValueError
"""


def hold(lock: Path, purpose: str = "", end: str = "") -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", HOLD, str(lock), purpose, end], text=True, **pipes)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def waiting(process: subprocess.Popen[str]) -> str:
    assert process.stderr
    return process.stderr.readline().strip()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "down" / "a.lock"


@pytest.mark.slow
def test_the_second_waits_in_one_line_that_names_the_first(lock: Path) -> None:
    first = hold(lock)
    assert line_of(first) == "owner"
    second = hold(lock)
    line = waiting(second)
    today = time.strftime("%Y-%m-%d ")
    assert line.startswith(f"mubench: waiting for process {first.pid} on {socket.gethostname()}, since {today}")
    assert line.endswith(f", which has {lock}")
    first.communicate("\n")
    assert line_of(second) == "owner"
    assert second.communicate("\n") == ("", "")
    assert not lock.exists()


def test_a_claim_is_refused_at_once_with_its_owner_and_free_when_that_is_killed(lock: Path) -> None:
    first = hold(lock)
    assert line_of(first) == "owner"
    with claimed(lock) as owner:
        assert owner.startswith(f"process {first.pid} on {socket.gethostname()}, since ")
    assert lock.exists()
    first.kill()
    first.communicate()
    with claimed(lock) as owner:
        assert owner == ""
        with claimed(lock) as second:
            assert second.startswith(f"process {os.getpid()} on ")
    assert not lock.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("purpose", "end", "found"), [
    ("same", "", "finished"), ("other", "", "owner"), ("same", "fail", "owner"),
])  # fmt: skip
def test_only_what_another_finished_meanwhile_for_the_same_purpose_is_done(
    lock: Path, purpose: str, end: str, found: str
) -> None:
    first = hold(lock, "same", end)
    assert line_of(first) == "owner"
    seconds = [hold(lock, purpose) for _ in range(2 if found == "finished" else 1)]
    for second in seconds:
        assert waiting(second)
    first.communicate("\n")
    for second in seconds:
        assert line_of(second) == found
        second.communicate("\n")
    with owned(lock, "same") as finished:  # nobody was waited for
        assert not finished


@pytest.mark.slow
def test_a_killed_owner_owns_nothing(lock: Path) -> None:
    first = hold(lock, "same", "wait")
    assert line_of(first) == "owner"
    second = hold(lock, "same")
    assert waiting(second)
    first.send_signal(signal.SIGKILL)
    assert line_of(second) == "owner"
    second.communicate("\n")
    first.wait()
    assert not lock.exists()


def test_a_forked_process_does_not_keep_what_its_parent_has_left(lock: Path) -> None:
    with owned(lock):
        if not (child := os.fork()):
            time.sleep(30)
            os._exit(0)
    with owned(lock):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not lock.exists()


def test_what_fails_leaves_no_empty_folder(lock: Path, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), owned(lock):
        _ = 1 / 0
    assert not list(tmp_path.iterdir())
    lock.parent.parent.mkdir()
    with pytest.raises(ZeroDivisionError), owned(lock):
        _ = 1 / 0
    assert [path.name for path in tmp_path.iterdir()] == ["deep"] and not lock.parent.exists()


def test_a_file_system_without_locks_is_named_once(
    lock: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> bool:
        raise OSError(errno.ENOSYS, "no locks")

    for name in ("lock_descriptor", "unlock_descriptor"):
        monkeypatch.setattr(atomic, name, refuse)
    for _ in range(2):
        with owned(lock) as finished:
            assert not finished
    line = (
        f"mubench: expected a file system with locks in {lock.parent}, got none: start nothing there twice at once\n"
    )
    assert capsys.readouterr().err == line


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc, got none")
def test_the_stage_of_a_process_that_nobody_has_waited_for_is_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    while ") Z " not in Path(f"/proc/{ended.pid}/stat").read_text():
        time.sleep(0.01)
    own = f"{atomic._STAGE}{atomic._host()}-"
    left = tmp_path / atomic.WORK / f"model{own}{ended.pid}"
    left.mkdir(parents=True)
    with atomic.staged_folder(tmp_path / "model"):
        assert not left.exists()
    ended.wait()
