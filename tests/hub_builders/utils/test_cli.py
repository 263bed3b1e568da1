"""Front doors: words in, exit codes and single lines out."""

import os
import subprocess
import sys

import pytest

from mubench.hub_builders.__main__ import main
from mubench.hub_builders.hub.model_folder import read_run
from mubench.hub_builders.utils.cli import Parser, guarded, underscored
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.runs.argument_parser import FlagParser, training_flags
from tests.fixtures.walk import files


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--base-seed", "1"], ["--base_seed", "1"]),
        (["--base-model=my-model"], ["--base_model=my-model"]),
        (["scrub", "-h", "a-b", "--x"], ["scrub", "-h", "a-b", "--x"]),
        (["--learning-rate=1e-3", "-1"], ["--learning_rate=1e-3", "-1"]),
    ],
)
def test_dashes_in_option_names_are_underscores_and_values_stay(words, expected):
    assert underscored(words) == expected


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, FloatingPointError])
def test_a_users_mistake_is_one_line_and_exit_code_2(error, capsys):
    def command():
        raise error("expected this,\n  got that")

    assert guarded(command) == 2
    assert capsys.readouterr().err == "mubench: expected this, got that\n"


def test_what_the_system_refuses_is_one_line_too(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["build", "imdb", "--out", str(tmp_path / "file")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("mubench: expected files that can be read and written, got: ") and said.count("\n") == 1
    assert str(tmp_path / "file") in said and [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_task_named_twice_is_built_once(small, tmp_path, capsys):
    assert main(["build", "imdb", "imdb", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("mini tier") == 1


def test_our_own_mistakes_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        guarded(lambda: 1 / 0)


def test_a_command_that_works_is_exit_code_0(capsys):
    assert guarded(lambda: None) == 0
    assert capsys.readouterr() == ("", "")


def test_a_parser_complains_in_one_line(capsys):
    with pytest.raises(SystemExit) as left:
        Parser(prog="p").parse_args(["--nope"])
    assert left.value.code == 2
    assert capsys.readouterr().err == "mubench: unrecognized arguments: --nope\n"


def test_only_typed_flags_are_given_even_where_they_repeat_a_default():
    parser = FlagParser(TaskArguments)
    assert parser.given([]) == {}
    assert parser.given(["--weight_decay", "0.0", "--bf16"]) == {"weight_decay": 0.0, "bf16": True}
    assert parser.given(["--save-strategy=no"]) == {"save_strategy": "no"}


def test_checkpoints_come_every_epoch_unless_said_otherwise():
    assert training_flags({}) == {"save_strategy": "epoch"}
    assert training_flags({"save_steps": 5}) == {"save_strategy": "steps", "save_steps": 5}
    assert training_flags({"save_strategy": "no"}) == {"save_strategy": "no"}
    with pytest.raises(ValueError, match="expected no output_dir"):
        training_flags({"output_dir": "x"})


def test_base_trains_prints_its_folder_and_keeps_what_is_there(own_walk, capsys):
    words = ["base", "--task", "cifar10", *own_walk.flags(), "--disable-tqdm", "true"]
    assert main([*words, "--base-seed", "3", "--save_steps=4"]) == 0
    folder = own_walk.models / "cifar10-mini-resnet-s3"
    assert capsys.readouterr().out == f"{folder}\n"
    assert read_run(folder).base_seed == 3
    before = files(folder)
    assert main([*words, "--base_seed=3"]) == 0
    assert files(folder) == before


def test_base_says_that_other_training_arguments_are_welcome(capsys):
    with pytest.raises(SystemExit) as left:
        main(["base", "--help"])
    assert left.value.code == 0
    assert "transformers.TrainingArguments" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["build", "cifar10", "--save_steps", "3"], "unrecognized arguments: --save_steps 3"),
        (["base"], "the following arguments are required: --task"),
        (["base", "--task", "cifar10", "--nope"], "unrecognized arguments: --nope"),
        (["base", "--task", "cifar10", "--base_seed", "x"], "argument --base_seed/--base-seed: invalid int value"),
        (["base", "--task", "cifar10", "--save_steps", "x"], "argument --save_steps/--save-steps: invalid"),
        ([], "the following arguments are required: command"),
        (["bake"], "argument command: invalid choice: 'bake'"),
    ],
)
def test_words_that_make_no_sense_are_one_line(words, line, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert said.startswith(f"mubench: {line}") and said.count("\n") == 1


@pytest.mark.parametrize("flag", ["--learning_rate=1", "--seed=3", "--num_train_epochs=3", "--output_dir=x"])
def test_base_refuses_what_the_recipe_decides(own_walk, capsys, flag):
    before = files(own_walk.models)
    assert main(["base", "--task", "cifar10", *own_walk.flags(), "--base_seed=9", flag]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and flag[2:].split("=")[0] in said
    assert files(own_walk.models) == before


def test_a_reader_who_leaves_early_is_no_mistake():
    script = (
        "import sys; from mubench.hub_builders.utils.cli import guarded; sys.exit(guarded(lambda: print('x' * 10**6)))"
    )
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", script], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
