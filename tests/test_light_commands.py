"""Help, lists and mistyped names answer at once: the modules that take seconds are not imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHOW = """
import runpy, sys
room, *sys.argv[1:] = sys.argv[1:]
code = 0
try:
    runpy.run_module(f"mubench.{room}", run_name="__main__")
except SystemExit as left:
    code = left.code or 0
print("code:", code, "imported:", *sorted({"torch", "transformers", "datasets"} & set(sys.modules)))
"""
METHOD = "method must be one of"


def answer(*arguments: str, cwd: Path) -> tuple[str, str, str]:
    """Return what a front door prints, its last line about code and imports, and its errors."""
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", SHOW, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *printed, last = done.stdout.splitlines()
    return "\n".join(printed), last, done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("cards.console", "--help"), "scrub  "),
        pytest.param(("cards.console", "--version"), "mubench ", marks=pytest.mark.slow),
        pytest.param(("cards.console", "methods"), "method  ", marks=pytest.mark.slow),
        pytest.param(("trainers", "--help"), "scrub  ", marks=pytest.mark.slow),
        (("trainers", "methods"), "method  "),
        pytest.param(("trainers", "metrics"), "klom_forget_p95  ", marks=pytest.mark.slow),
        pytest.param(("cards.console", "metrics"), "svc_confidence  ", marks=pytest.mark.slow),
        pytest.param(("trainers", "ensemble", "--help"), "--method", marks=pytest.mark.slow),
        (("trainers", "sweep", "--help"), "--retrain_seeds"),
        pytest.param(("trainers", "references", "--help"), "--retrain_seeds", marks=pytest.mark.slow),
        pytest.param(("trainers", "bases", "--help"), "--backbone", marks=pytest.mark.slow),
        pytest.param(("trainers", "matrix", "--help"), "--methods", marks=pytest.mark.slow),
        pytest.param(("trainers", "tune", "--help"), "--trials", marks=pytest.mark.slow),
        pytest.param(("trainers", "sequence", "--help"), "--steps", marks=pytest.mark.slow),
        pytest.param(("trainers", "memorised", "--help"), "--out", marks=pytest.mark.slow),
        pytest.param(("trainers", "judge", "--help"), "MODEL_OR_OUTPUTS", marks=pytest.mark.slow),
        pytest.param(("hub_builders", "--help"), "backbones", marks=pytest.mark.slow),
        (("hub_builders", "build", "--help"), "--tier"),
        pytest.param(("hub_builders", "backbones", "imdb"), "minilm", marks=pytest.mark.slow),
        pytest.param(("cards", "--help"), "--shipped", marks=pytest.mark.slow),
        pytest.param(("cards", "matrix", "--shipped"), "scrub", marks=pytest.mark.slow),
        (("cards", "leaderboard", "--shipped"), "scrub"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_light_command_imports_nothing_that_takes_seconds(arguments, expected, tmp_path):
    printed, last, _ = answer(*arguments, cwd=tmp_path)
    assert last == "code: 0 imported:" and expected in printed


@pytest.mark.parametrize(
    ("arguments", "message", "closest"),
    [
        (("trainers", "scrup", "--task=cifar10"), METHOD, "scrub"),
        pytest.param(("trainers", "swep"), METHOD, "sweep", marks=pytest.mark.slow),
        (("trainers", "sweep", "--taks=cifar10"), "unrecognized arguments: --taks=cifar10", "--task"),
        pytest.param(
            ("trainers", "ensemble", "--task=cifar10", "--method=scrup"), METHOD, "scrub", marks=pytest.mark.slow
        ),
        pytest.param(
            ("trainers", "sweep", "--task=cifar11"), "task must be one of", "cifar10", marks=pytest.mark.slow
        ),
        (("trainers", "scrub", "--task=cifar11", "--ratio=5"), "task must be one of", "cifar10"),
        (("trainers", "sequence", "--method=scrub", "--task=cifar11"), "task must be one of", "cifar10"),
        pytest.param(("trainers", "matrix", "--methods", "slaun"), METHOD, "salun", marks=pytest.mark.slow),
        (("hub_builders", "biuld"), "argument command: invalid choice: 'biuld'", "build"),
        pytest.param(("hub_builders", "build", "cifar11"), "task must be one of", "cifar10", marks=pytest.mark.slow),
        pytest.param(
            ("hub_builders", "build", "--teir=mini"),
            "unrecognized arguments: --teir=mini",
            "--tier",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("cards", "leaderbord"),
            "argument what: invalid choice: 'leaderbord'",
            "leaderboard",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("cards.console", "leaderbord"), "expected a command or a method", "leaderboard", marks=pytest.mark.slow
        ),
        (("cards.console", "scrup"), "expected a command or a method", "scrub"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_typo_is_one_line_with_the_closest_name_at_once(arguments, message, closest, tmp_path):
    printed, last, error = answer(*arguments, cwd=tmp_path)
    assert last == "code: 2 imported:" and not printed
    assert error.startswith(f"mubench: {message}") and error.endswith(f"; did you mean {closest!r}?\n")
    assert error.count("\n") == 1


def test_cards_are_written_without_torch(tmp_path):
    code = "import sys, mubench.cards.folders as _; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
