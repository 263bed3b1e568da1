"""Hostile command lines through every front door: a list, or one line that begins with the program's name."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import random
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from mubench.cards.leaderboard import SHIPPED
from mubench.trainers.engine.task_trainer import TaskTrainer
from mubench.trainers.evaluation import result
from mubench.trainers.runs.argument_parser import base_parser, method_parser
from mubench.trainers.sweeps.worker_pool import Workers
from tests.fuzz.cases import count_outcomes, shares
from tests.safety_net.mistakes import MISTAKES

DOORS = {
    "hub_builders": "mubench.hub_builders.__main__",
    "trainers": "mubench.trainers.__main__",
    "cards": "mubench.cards.__main__",
    "mubench": "mubench.cards.console",
}
STOP = "expected words that start no work, got some that do"
QUIET = ["--disable_tqdm=true", "--judge=false"]
WHERE = ["--data={data}", "--models={models}"]
METHODS = ("scrub", "retrain", "finetune", "neg_grad", "random_label", "l1_sparse", "undo", "ssd", "sfron")
HOSTILE = (
    "", " ", "-", "--", "---", "=", "nan", "inf", "-inf", "Infinity", "1e400", "-1e400", "1e-400", "-0", "+1", "-1",
    "0", "9" * 400, "9" * 5_000, "-" + "9" * 30, "1e18", "0x10", "0b1", "1_000", "٣", "²", "1.5", "1/0", "None",
    "null", "true", "{}", "[]", "[[", "{'a':", '{"a": 1}', "!!python/object/apply:os.system [id]", "%s%n%d",
    "{0.__class__}", "${HOME}", "$(id)", "`id`", ";id", "|id", "\\", "'", '"', "\n", "\r\n", "\t", "\0", "a\0b",
    "\x1b[2J", "\x1b]0;mine\x07", "\x9b31m", "\u202eabc", "\u200b", "\ufeff", "\udc80", "\U0001f600", "é",
    "a" * 5_000, "a b", "a,b", "0 1", "0,1,", "..", ".", "/", "~", "*", "../" * 40, "/dev/null", "/dev/null/x",
    "/proc/self/mem", "file:///etc/passwd", "http://127.0.0.1:1/", "nobody/nothing", "nobody/../nothing", "a/b/c",
    "nobody/nothing@main", "cifar10", "CIFAR10", "imdb", "cifar10/", "-h", "wandb", "tensorboard",
    "adamw_bnb_8bit", "lomo", "cosine_with_restarts", "reduce_lr_on_plateau",
)  # fmt: skip
CONFIGS: tuple[bytes, ...] = (
    b"", b"\0", b"\xff\xfe", b"[", b"[" * 20_000, b"{" * 5_000, b"a: " * 2_000, b"- a", b"3", b"a: &a [*a]",
    b"? ? ?", b"task", b"task: [[[]]]", b"task: {a: {b: c}}", b"learning_rate: .nan", b"learning_rate: -.inf",
    b"task: !!python/name:os.system", b"--task: x", b"config: x", b"help: true", b"judge: {}", b"ratio: 5\nratio: 5",
    b"\x1b[2J: 1", b"seed: 2001-01-01", b"seed: !!binary aGk=", b"seed: 1e400", b"1: 2", b"null: null",
    b"? [a]\n: b", b"? {a: b}\n: c", b"seed: 0o7", b"%YAML 9.9\n---", b"task: !<tag:evil> x",
    b"lora_targets: [1, {a: b}, null]", b"seed: " + b"9" * 5_000, b"seed: &a 1\ntask: *a", b"task: *a",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(walked_once: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Work in an empty folder inside of one that holds models; whatever would train, build or push stops first."""
    from tests.fixtures.walk import quick  # noqa: PLC0415

    def stop(*_: Any, **__: Any) -> Any:
        raise ValueError(STOP)

    root = tmp_path_factory.mktemp("commands")
    walked_once.copy(root)
    (here := root / "in" / "here").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch, quick():
        patch.chdir(here)
        patch.setattr(TaskTrainer, "training_step", stop)
        patch.setattr(Workers, "__enter__", stop)
        for name in (
            "hub_builders.dataset.build.build",
            "hub_builders.hub.push.publish",
        ):
            module, _, function = f"mubench.{name}".rpartition(".")
            patch.setattr(import_module(module), function, stop)
        read = result.read_results
        patch.setattr(result, "read_results", lambda folder: stop() if folder == SHIPPED else read(folder))
        yield root


@functools.cache
def options(method: str) -> list[str]:
    parser = base_parser() if method == "base" else method_parser(method)
    return sorted(name for name in parser._option_string_actions if name.startswith("--") and "-" not in name[2:])


def valid(source: random.Random) -> list[str]:
    """Return a command line that would train, with a hostile value of some of its options."""
    method = source.choice(["base", *METHODS])
    words = [
        source.choice(["trainers", "mubench"]),
        method,
        "--task=cifar10",
        *WHERE,
        *QUIET[: 1 if method == "base" else 2],
    ]
    if method not in ("base", "retrain"):
        words.append("--ratio=10")
    words += ["--base_seed=5"] if method in ("base", "retrain") else ["--seed=5"]
    for name in source.sample(options(method), source.choice([1, 1, 1, 2, 4])):
        if name not in ("--dataloader_num_workers", "--help", "--config"):
            words.append(f"{name}={source.choice(HOSTILE)}")
    return words


def mistaken(source: random.Random) -> list[str]:
    """Return a user's mistake, made worse."""
    words = source.choice(MISTAKES).split()
    words = ["trainers", *words] if words[0] == "base" else words
    for _ in range(source.choice([0, 1, 1, 2, 3])):
        position, value = source.randrange(1, len(words) + 1), source.choice(HOSTILE)
        name = words[position - 1].partition("=")[0]
        word = source.choice([value, f"--{value}", f"{name}={value}", words[position - 1], words[position - 1][:-1]])
        words = source.choice(
            [[*words[:position], word, *words[position:]], [*words[: max(position - 1, 1)], *words[position:], word]]
        )
    if source.random() < 0.2:
        words[0] = "mubench"
    return words


def noise(source: random.Random) -> list[str]:
    """Return words of which few mean anything."""
    known = (
        "build",
        "push",
        "verify",
        "backbones",
        "scrub",
        "base",
        "sweep",
        "references",
        "bases",
        "matrix",
        "tune",
        "rerun",
    )
    words = [source.choice([*known, "methods", "leaderboard", "cards", "--version", "--help", "cifar10", *HOSTILE])]
    for _ in range(source.randrange(5)):
        words.append(
            source.choice([*HOSTILE, "cifar10", *("--" + name for name in ("task", "data", "ratio", "out", "raw"))])
        )
    return [source.choice(list(DOORS)), *words]


def configured(source: random.Random, root: Path) -> list[str]:
    """Return a command line with a config file that is none."""
    file = root / "config.yaml"
    file.write_bytes(source.choice(CONFIGS) + (b"\n" + source.choice(CONFIGS) if source.random() < 0.3 else b""))
    command = source.choice([["hub_builders", "build", "cifar10"], ["trainers", "scrub"], ["trainers", "base"],
                             ["trainers", "sweep"], ["cards", "leaderboard"], ["trainers", "tune"]])  # fmt: skip
    return [
        *command,
        f"--config={file}",
        *source.choice([[], ["--task=cifar10", *WHERE], ["--config"], [f"--config={file}"]]),
    ]


def run(words: list[str]) -> tuple[int, str, str]:
    """Return exit code, output and errors of a command that is run in this process."""
    main: Callable[[list[str]], int] = import_module(DOORS[words[0]]).main
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words[1:])
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else -1
    return code, out.getvalue(), err.getvalue()


@shares(12, 1_200)
def test_a_hostile_command_line_is_a_list_or_one_line(place: Path, first: int, last: int) -> None:
    def one(source: random.Random) -> str:
        make = source.choice([valid, valid, mistaken, noise, lambda s: configured(s, place)])
        places = {"data": place / "mu-bench", "models": place / "models"}
        words = [
            word.replace("{data}", str(places["data"])).replace("{models}", str(places["models"]))
            for word in make(source)
        ]
        try:
            code, out, err = run(words)
        except Exception as error:
            raise AssertionError(f"{json.dumps(words)[:2_000]}: {type(error).__name__}: {error}") from error
        last_line = err.splitlines()[-1:] or [""]
        if last_line == [f"mubench: {STOP}"]:
            return "stopped"
        shown = json.dumps([words, code, out, err])[:3_000]
        if code == 0 or (code == 2 and not err and len(words) == 1):
            assert out and not err, shown
            return "list"
        assert code == 2 and not out, shown
        assert err.startswith("mubench: ") and err.endswith("\n") and err[:-1].isprintable(), shown
        assert len(err) < 2_100, shown
        return "refused"

    counts = count_outcomes(first, last, one)
    assert counts["refused"] > (last - first) / 2
    assert not list((place / "in" / "here").iterdir())
