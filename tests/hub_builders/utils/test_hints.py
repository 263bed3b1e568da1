"""Commands in messages: complete, quoted, and as short as what is usual allows."""

import shlex

import pytest

from mubench.cards.__main__ import parser as cards_parser
from mubench.hub_builders.__main__ import parser
from mubench.hub_builders.utils.hints import USUAL, command, extend, shorten_recorded
from mubench.trainers.runs.argument_parser import BaseArguments, RunArguments
from mubench.trainers.runs.grid_parsers import grid_parser


def test_what_is_usual_or_not_given_is_left_out():
    assert command("build", "imdb", **USUAL, raw=None, allow_partial=False) == "mubench build imdb"


def test_everything_else_is_printed():
    line = command("base", task="imdb", base_seed=0, data="x/mu-bench", allow_partial=True)
    assert line == "mubench base --task imdb --base_seed 0 --data x/mu-bench --allow_partial"
    assert extend(line, models="m") == f"{line} --models m"
    assert command("references", ratio=5, seeds="0 1", models="m") == (
        'mubench references --ratio 5 --seeds "0 1" --models m'
    )
    assert shorten_recorded("python -m mubench.hub_builders build imdb") == "mubench build imdb"


@pytest.mark.parametrize("path", ["a b", "it's", "$HOME/x", 'a "b" c', "a;b", "100 %"])
def test_a_shell_reads_a_value_as_it_was_given(path):
    assert shlex.split(command("build", data=path))[-1] == path


def test_what_is_usual_is_what_the_front_doors_take_by_default():
    found = [
        vars(parser().parse_args(["build", "imdb"])),
        vars(BaseArguments(task="imdb")),
        {name: value for name, value in vars(cards_parser().parse_args([])).items() if name != "out"},  # of audits
        vars(grid_parser("sweep").parse_args(["--task=imdb"])),
        vars(RunArguments(task="imdb")),
    ]
    assert {name for options in found for name in options} >= USUAL.keys()
    for options in found:
        shared = options.keys() & USUAL.keys()
        assert {name: str(options[name]) for name in shared} == {name: str(USUAL[name]) for name in shared}
