"""Help, lists and mistyped names answer at once: the modules that take seconds are not imported."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

pytestmark = pytest.mark.slow
# Runs the commands of a list one after the other in one process, and notes which of them imports a slow module first.
RUN = """
import contextlib, io, json, runpy, sys
answers, known = [], set()
for room, *words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    code, out, errors = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            runpy.run_module(f"mubench.{room}", run_name="__main__")
        except SystemExit as left:
            code = left.code or 0
    new = {"torch", "transformers", "datasets"} & set(sys.modules) - known
    known |= new
    answers.append([code, out.getvalue(), errors.getvalue(), sorted(new)])
print(json.dumps(answers))
"""
METHOD = "method must be one of"
CARDS = ("cards.folders",)  # no command, but what writes cards
LIGHT: list[tuple[tuple[str, ...], str]] = [
    (("cards.console", "--help"), "scrub  "),
    (("cards.console", "--version"), "mubench "),
    (("cards.console", "methods"), "method  "),
    (("trainers", "--help"), "scrub  "),
    (("trainers", "methods"), "method  "),
    (("trainers", "metrics"), "klom_forget_p95 "),
    (("cards.console", "metrics"), "svc_confidence "),
    (("trainers", "ensemble", "--help"), "--method"),
    (("trainers", "sweep", "--help"), "--retrain_seeds"),
    (("trainers", "references", "--help"), "--retrain_seeds"),
    (("trainers", "bases", "--help"), "--backbone"),
    (("trainers", "matrix", "--help"), "--methods"),
    (("trainers", "tune", "--help"), "--trials"),
    (("trainers", "sequence", "--help"), "--steps"),
    (("trainers", "memorised", "--help"), "--out"),
    (("trainers", "judge", "--help"), "MODEL_OR_OUTPUTS"),
    (("hub_builders", "--help"), "backbones"),
    (("hub_builders", "build", "--help"), "--tier"),
    (("hub_builders", "backbones", "imdb"), "minilm"),
    (("cards", "--help"), "--shipped"),
    (("cards", "matrix", "--shipped"), "scrub"),
    (("cards", "leaderboard", "--shipped"), "scrub"),
]
TYPOS: list[tuple[tuple[str, ...], str, str]] = [
    (("trainers", "scrup", "--task=cifar10"), METHOD, "scrub"),
    (("trainers", "swep"), METHOD, "sweep"),
    (("trainers", "sweep", "--taks=cifar10"), "unrecognized arguments: --taks=cifar10", "--task"),
    (("trainers", "ensemble", "--task=cifar10", "--method=scrup"), METHOD, "scrub"),
    (("trainers", "sweep", "--task=cifar11"), "task must be one of", "cifar10"),
    (("trainers", "scrub", "--task=cifar11", "--ratio=5"), "task must be one of", "cifar10"),
    (("trainers", "sequence", "--method=scrub", "--task=cifar11"), "task must be one of", "cifar10"),
    (("trainers", "matrix", "--methods", "slaun"), METHOD, "salun"),
    (("hub_builders", "biuld"), "argument command: invalid choice: 'biuld'", "build"),
    (("hub_builders", "build", "cifar11"), "task must be one of", "cifar10"),
    (("hub_builders", "build", "--teir=mini"), "unrecognized arguments: --teir=mini", "--tier"),
    (("cards", "leaderbord"), "argument what: invalid choice: 'leaderbord'", "leaderboard"),
    (("cards.console", "leaderbord"), "expected a command or a method", "leaderboard"),
    (("cards.console", "scrup"), "expected a command or a method", "scrub"),
]


@dataclass(frozen=True)
class Answer:
    """Exit code, output and errors of a command, and which of the slow modules it was the first to import."""

    code: int
    out: str
    errors: str
    imported: list[str]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Answer]:
    """Return the answer of every command; they share a process, since starting one takes longer than they do."""
    commands = [*(command for command, *_ in (*LIGHT, *TYPOS)), CARDS]
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(commands)], cwd=tmp_path_factory.mktemp("light"),
        env={**os.environ, "PYTHONWARNINGS": "ignore"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {command: Answer(*answer) for command, answer in zip(commands, json.loads(done.stdout), strict=True)}


def name(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else ""


@pytest.mark.parametrize(("command", "expected"), LIGHT, ids=name)
def test_a_light_command_imports_nothing_that_takes_seconds(command, expected, answers):
    answer = answers[command]
    assert (answer.code, answer.imported) == (0, []) and expected in answer.out


@pytest.mark.parametrize(("command", "message", "closest"), TYPOS, ids=name)
def test_a_typo_is_one_line_with_the_closest_name_at_once(command, message, closest, answers):
    answer = answers[command]
    assert (answer.code, answer.imported, answer.out) == (2, [], "")
    assert answer.errors.startswith(f"mubench: {message}")
    assert answer.errors.endswith(f"; did you mean {closest!r}?\n") and answer.errors.count("\n") == 1


def test_cards_are_written_without_torch(answers):
    assert answers[CARDS].code == 0 and not {"torch", "transformers"} & set(answers[CARDS].imported)
