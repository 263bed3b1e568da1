"""The command `mubench`: every subcommand of the three front doors, once."""

from importlib.metadata import version

import pytest

from mubench.cards import console
from mubench.hub_builders.__main__ import COMMANDS as HUB_BUILDERS
from mubench.trainers.__main__ import COMMANDS as TRAINERS
from mubench.trainers.methods import METHODS


def test_help_has_one_line_for_every_command_and_method(capsys):
    assert console.main(["--help"]) == 0
    printed = capsys.readouterr().out.splitlines()
    for name in (*HUB_BUILDERS, *TRAINERS, "cards", "leaderboard", *METHODS):
        (line,) = [line for line in printed if line.startswith(f"  {name} ")]
        assert len(line) < 120 and len(line.split()) > 3
    assert console.main([]) == 2


def test_the_version_is_that_of_the_package(capsys):
    assert console.main(["--version"]) == 0
    assert capsys.readouterr().out == f"mubench {version('mubench')}\n"


@pytest.mark.parametrize(
    ("arguments", "room", "passed"),
    [
        (["build", "imdb"], "hub_builders", ["build", "imdb"]),
        (["base", "--task", "imdb"], "trainers", ["base", "--task", "imdb"]),
        (["matrix"], "trainers", ["matrix"]),
        (["scrub", "--task=imdb"], "trainers", ["scrub", "--task=imdb"]),
        (["cards"], "cards", []),
        (["cards", "matrix"], "cards", ["matrix"]),
        (["leaderboard", "--shipped"], "cards", ["leaderboard", "--shipped"]),
    ],
)
def test_a_command_reaches_its_front_door(arguments, room, passed, monkeypatch):
    calls = []
    monkeypatch.setattr(f"mubench.{room}.__main__.main", lambda given: calls.append(given) or 0)
    assert console.main(arguments) == 0
    assert calls == [passed]


def test_a_front_door_leaves_its_exit_code(capsys):
    assert console.main(["build", "cifar11"]) == 2
    assert "did you mean 'cifar10'?" in capsys.readouterr().err
