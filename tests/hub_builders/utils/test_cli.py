"""Front doors: exit codes, one-line errors, suggestions and config files."""

import os
import signal
import subprocess
import sys

import pytest

from mubench.hub_builders.__main__ import main
from mubench.hub_builders.utils.cli import (
    CommandParser,
    Parser,
    did_you_mean,
    print_error,
    replace_dashes,
    run_command,
)


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
    assert replace_dashes(words) == expected


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, FloatingPointError])
def test_a_users_mistake_is_one_line_and_exit_code_2(error, capsys):
    def command():
        raise error("expected this,\n  got that")

    assert run_command(command) == 2
    assert capsys.readouterr().err == "mubench: expected this, got that\n"


@pytest.mark.parametrize(
    ("sign", "shown"),
    [("\x1b[2J\x1b]0;mine\x07", r"\x1b[2J\x1b]0;mine\x07"), ("\u202e", r"\u202e"), ("\udc80", r"\udc80"), ("\r", " ")],
)
def test_what_a_terminal_would_obey_is_written_out(sign, shown, capsys):
    expected = f"mubench: expected a task, got a{shown}b é\n"
    print_error(f"expected a task, got a{sign}b é")
    assert capsys.readouterr().err == expected
    with pytest.raises(SystemExit):
        Parser().error(f"expected a task, got a{sign}b é")
    assert capsys.readouterr().err == expected


def test_the_middle_of_a_message_that_fills_screens_is_left_out(capsys):
    print_error(f"expected a task, got {'a' * 5_000}; did you mean that?")
    line = capsys.readouterr().err
    assert line.startswith("mubench: expected a task, got aaa") and line.endswith("aaa; did you mean that?\n")
    assert " ... " in line and len(line) < 2_100


def test_what_the_system_refuses_is_one_line_too(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["build", "imdb", "--out", str(tmp_path / "file")]) == 2
    message = capsys.readouterr().err
    assert (
        message.startswith("mubench: expected files that can be read and written, got: ") and message.count("\n") == 1
    )
    assert str(tmp_path / "file") in message and [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_task_named_twice_is_built_once(small, tmp_path, capsys):
    assert main(["build", "imdb", "imdb", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("mini tier") == 1


def test_our_own_mistakes_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 / 0)


def test_ctrl_c_is_one_line_and_the_exit_code_of_a_shell():
    script = (
        "import signal, sys; from mubench.hub_builders.utils.cli import run_command\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it\n"
        "sys.exit(run_command(lambda: signal.raise_signal(signal.SIGINT)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "mubench: interrupted\n")


def test_a_command_that_works_is_exit_code_0(capsys):
    assert run_command(lambda: None) == 0
    assert capsys.readouterr() == ("", "")


def test_a_parser_complains_in_one_line(capsys):
    with pytest.raises(SystemExit) as left:
        Parser(prog="p").parse_args(["--nope"])
    assert left.value.code == 2
    assert capsys.readouterr().err == "mubench: unrecognized arguments: --nope\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["build", "cifar10", "--save_steps", "3"], "unrecognized arguments: --save_steps 3"),
        (["build", "cifar10", "--teir=mini"], "unrecognized arguments: --teir=mini; did you mean '--tier'?"),
        (["build", "cifar10", "--deletion_seed", "x"], "argument --deletion_seed: invalid int value"),
        ([], "the following arguments are required: command"),
        (["bake"], "argument command: invalid choice: 'bake'"),
    ],
)
def test_arguments_that_make_no_sense_are_one_line(words, line, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    message = capsys.readouterr().err
    assert left.value.code == 2
    assert message.startswith(f"mubench: {line}") and message.count("\n") == 1


def test_a_reader_who_leaves_early_is_no_mistake():
    script = (
        "import sys; from mubench.hub_builders.utils.cli import run_command\n"
        "sys.exit(run_command(lambda: print('x' * 10**6)))"
    )
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", script], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_base_names_the_command_that_trains_one(capsys):
    assert main(["base", "--task", "imdb", "--models", "my models"]) == 2
    message = capsys.readouterr().err
    assert message.endswith("mubench base --task imdb --models 'my models'\n")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("scrup", ["scrub", "salun"], "; did you mean 'scrub'?"),
        ("swep", ["sweep", "scrub"], "; did you mean 'sweep'?"),
        ("xyz", ["sweep", "scrub"], ""),
        ("cifar11", ["cifar10", "cifar100"], "; did you mean 'cifar10'?"),
        ("resnet-18", ["ResNet-18"], "; did you mean 'ResNet-18'?"),
        ("CIFAR10", ["cifar10", "cifar100"], "; did you mean 'cifar10'?"),
        ("--epochs", ["--msteps", "--num_train_epochs"], "; did you mean '--num_train_epochs'?"),
        ("lr", ["lr_scheduler_type", "learning_rate"], "; did you mean 'learning_rate'?"),
    ],
)
def test_a_mistyped_name_gets_the_closest_known_one(name, known, expected):
    assert did_you_mean(name, known) == expected


@pytest.fixture
def options(tmp_path):
    """Return a function that parses arguments after it has written a config file."""
    parser = Parser(prog="p", allow_abbrev=False)
    parser.add_config()
    parser.add_argument("--rate", type=float, default=1.0)
    parser.add_argument("--seeds", nargs="+", default=[])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--max_rows", type=int)

    def parse(config: str, *arguments: str):
        (tmp_path / "file.yaml").write_text(config)
        return vars(parser.parse_args([*arguments, "--config", str(tmp_path / "file.yaml")]))

    return parse


def test_a_config_file_gives_options_and_the_command_line_wins(options):
    given = options("rate: 1e-3\nseeds: [0, 1]\nquick: true\nmax-rows: 5\n", "--rate=0.5")
    assert given == {"rate": 0.5, "seeds": ["0", "1"], "quick": True, "max_rows": 5}
    assert options("quick: false\nmax_rows: null\n") == {"rate": 1.0, "seeds": [], "quick": False, "max_rows": None}
    assert options("")["rate"] == 1.0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("rat: 1", "expected options of p in the config file, got rat; did you mean 'rate'?"),
        ("config: other.yaml", "expected options of p in the config file, got config"),
        ("- rate", "expected option names and values in "),
        ("rate: [", "expected YAML in "),
        ("rate: fast", "argument --rate: invalid float value: 'fast'"),
        ("quick: perhaps", "argument --quick: ignored explicit argument 'perhaps'"),
    ],
)
def test_a_config_file_that_makes_no_sense_is_one_line(options, config, message, capsys):
    with pytest.raises(SystemExit) as left:
        options(config)
    printed = capsys.readouterr().err
    assert left.value.code == 2
    assert printed.startswith(f"mubench: {message}") and printed.count("\n") == 1


def test_a_config_file_must_be_there(capsys):
    for arguments, message in ((["--config=no.yaml"], "expected a config file no.yaml, got: "), (["--config"], "")):
        with pytest.raises(SystemExit) as left:
            main(["build", "imdb", *arguments])
        printed = capsys.readouterr().err
        assert left.value.code == 2 and printed.startswith(f"mubench: {message}") and printed.count("\n") == 1


def test_a_build_reads_its_config(tmp_path, capsys):
    (tmp_path / "build.yaml").write_text(f"tier: tiny\nout: {tmp_path}\n")
    assert main(["build", "imdb", "--config", str(tmp_path / "build.yaml")]) == 2
    assert "tier must be one of" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["build.yaml"]


def test_a_subcommand_reports_unknown_options_itself(capsys):
    with pytest.raises(SystemExit):
        CommandParser(prog="p").parse_known_args(["--nope"])
    assert capsys.readouterr().err == "mubench: unrecognized arguments: --nope\n"


def test_help_ends_with_a_default_unless_it_describes_it_or_there_is_none() -> None:
    parser = Parser(prog="p")
    parser.add_argument("--ratio", type=int, default=0, help="percentage of rows")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="seeds")
    parser.add_argument("--folder", default="runs", help="folder; default: where the models are")
    parser.add_argument("--out", help="file")
    parser.add_argument("--dry_run", action="store_true", help="list")
    lines = parser.format_help().splitlines()
    ends = [next(line for line in lines if word in line).strip() for word in ("percentage", "seeds", "list", " file")]
    assert ends[0].endswith("percentage of rows (default: 0)") and "seeds (default: 0 1)" in parser.format_help()
    assert ends[2].endswith("list") and ends[3].endswith("file") and parser.format_help().count("default") == 3
