"""A full disk: one line, whoever writes, and nothing half-written; the same command goes on when there is room."""

import resource
from contextlib import contextmanager

import pytest
from safetensors import SafetensorError

from mubench.hub_builders.utils.atomic import WORK
from mubench.trainers.__main__ import main
from mubench.trainers.engine.errors import FullDiskError, explain_full_disk
from tests.fixtures.walk import files

WORDS = ["--task=cifar10", "--disable_tqdm=true"]
COMMANDS = {
    "base": ["base", "--base_seed=9", *WORDS],
    "scrub": ["scrub", "--ratio=10", "--judge=false", "--seed=9", *WORDS],
    "dual": ["scrub", "--ratio=10", "--judge=false", "--seed=9", "--dual_optim=adamw_torch", *WORDS],
    "best": ["scrub", "--ratio=10", "--judge=false", "--seed=9", "--keep=best", *WORDS],
}


@contextmanager
def room_for(size):
    """Let no file grow beyond so many bytes, as a disk with that much space would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "size", [0, *(pytest.param(size, marks=pytest.mark.slow) for size in (3_000, 60_000, 200_000))]
)
def test_a_run_without_space_is_one_line_and_goes_on_later(own_walk, capsys, command, size):
    before = files(own_walk.models)
    words = [*COMMANDS[command], *own_walk.flags()]
    capsys.readouterr()
    with room_for(size):
        code = main(words)
    error = capsys.readouterr().err
    if code:
        assert error.startswith("mubench: expected space on the disk of ") and error.count("\n") == 1, error
        assert files(own_walk.models).keys() - before.keys() <= {
            name for name in files(own_walk.models) if name.startswith(f"{WORK}/") and "/checkpoint-" in name
        }
        left = [path for path in (own_walk.models / WORK).rglob("checkpoint-*") if path.is_dir()]
        assert all((path / "complete").is_file() for path in left)
        assert not list(own_walk.models.glob(f"{WORK}/*.stage-*"))
    assert code == 2 or size == 200_000
    assert main(words) == 0


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError(122, "Disk quota exceeded"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:862] . PytorchStreamWriter failed writing file data/1"),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 576 vs 470"),
    ],
)
def test_every_writer_of_a_full_disk_becomes_one_line(error):
    with (
        pytest.raises(FullDiskError, match=r"^expected space on the disk of here, got: .*; make some") as found,
        explain_full_disk("there"),
        explain_full_disk("here"),
    ):
        raise error
    assert found.value.errno is None


def test_other_errors_of_files_stay_what_they_are():
    with pytest.raises(PermissionError), explain_full_disk("here"):
        raise PermissionError(13, "Permission denied")
