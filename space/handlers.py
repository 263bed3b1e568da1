"""What the buttons of the Space do: choices in, tables, pictures and judged runs out; gradio is not known here."""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import worker
from datasets import DatasetDict
from PIL import Image

from mubench.cards.formats import cells
from mubench.cards.leaderboard import Table, tables
from mubench.cards.picture import draw
from mubench.hub_builders import decode
from mubench.hub_builders.folders import RUN_FILE, read_run
from mubench.hub_builders.load import forget_retain, load_task, task_info
from mubench.hub_builders.names import DATASET, check_ratio, config_name
from mubench.hub_builders.readme import committed
from mubench.hub_builders.tasks import get_task
from mubench.hub_builders.workbench import workbench
from mubench.trainers.applicability import methods_on
from mubench.trainers.methods import METHODS
from mubench.trainers.metrics import METRICS
from mubench.trainers.references import Group, find_group
from mubench.trainers.results import read_results
from mubench.trainers.rows import Result

Choice = tuple[str, ...]
# Where the command line looks too: the server runs in the folder that holds them.
DATA, MODELS, RESULTS = Path(DATASET), Path("models"), Path("results")
OUTCOME_HEAD = ("metric", "this run", "base", "retrained", "better", "what it is")
MEASURED = (
    "score", "row", "mean", "membership", "utility", "forget_score", "retain_score", "test_score", "ood_score",
    "loss_mia", "kl_retrained",
)  # fmt: skip
SHOWN_ROWS = 12
MANY_LABELS = 20
PICTURE_SIDE = 128
SEEDS = 2**31
STEPS = 2


def narrow(options: Sequence[Choice], chosen: Sequence[str]) -> tuple[list[list[str]], Choice]:
    """Return what can be chosen in each place, given the places before it, and what then is chosen.

    Args:
        options: Every combination that exists; at least one.
        chosen: A value a place; what does not go with the places before it gives way to the first that does.

    Raises:
        ValueError: If a value exists in no combination.
    """
    lists: list[list[str]] = []
    result: list[str] = []
    for place, wish in enumerate(chosen):
        known = list(dict.fromkeys(option[place] for option in options))
        if wish not in known:
            raise ValueError(f"expected one of {', '.join(known)}, got {wish!r}")
        here = list(dict.fromkeys(option[place] for option in options if list(option[:place]) == result))
        lists.append(here)
        result.append(wish if wish in here else here[0])
    return lists, tuple(result)


# The leaderboard


def boards() -> dict[Choice, Table]:
    """Return every table of ``./results`` by task, backbone and what was deleted.

    Raises:
        ValueError: If a row is damaged, or rows of one table were judged against different models.
    """
    rows = read_results(RESULTS) if any(RESULTS.glob("*.json")) else []
    ordered = sorted(tables(rows), key=lambda table: (table.row.task, table.row.backbone, table.row.ratio))
    return {(table.row.task, table.row.backbone, _deletion(table.row)): table for table in ordered}


def _deletion(row: Result) -> str:
    return f"{row.ratio} % of the {row.tier} rows, {row.family}, split {row.split[:8]}"


def board(*choice: str) -> tuple[str, list[list[str]], Image.Image]:
    """Return a table: what it is, its lines as in ``mubench.cards.formats.HEAD``, and S against cost as a picture."""
    table = boards()[choice]
    controls = [(rank, f"{name} (control)", *rest) for rank, name, *rest in map(cells, table.controls)]
    lines = [list(line) for line in (*map(cells, table.entries), *controls)]
    with tempfile.TemporaryDirectory() as folder, Image.open(draw([table], Path(folder) / "table.png")) as picture:
        words = f"### {table.title}\n{table.standing[0].upper()}{table.standing[1:]}."
        return words, lines, picture.convert("RGB")


# The data


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A config of the dataset repository.

    Attributes:
        words: Which rows these are.
        counts: Split and number of rows, a line a split.
        pictures: Some forget rows as pictures, or the middle frames of clips, with their labels; empty for tasks
            without any.
        texts: Some forget rows as label, if there is one, and texts; empty for tasks without texts.
        code: How to load the config.
    """

    words: str
    counts: list[list[str]]
    pictures: list[tuple[Image.Image, str]]
    texts: list[list[str]]
    code: str


def configs() -> list[Choice]:
    """Return the task and ratio of every config in ``./mu-bench`` that divides forget from retain."""
    return [(task, str(ratio)) for task, manifest in committed(DATA).items() for ratio in manifest["forget"]]


@lru_cache(maxsize=4)
def _loaded(task: str, fingerprint: str) -> DatasetDict:
    return load_task(task)


def _enlarged(picture: Image.Image) -> Image.Image:
    factor = max(1, PICTURE_SIDE // max(picture.size))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def config_rows(task: str, ratio: str) -> Rows:
    """Describe a config and show some of the rows it forgets, those that every larger ratio forgets too.

    Raises:
        ValueError: If there is no such task or ratio.
        FileNotFoundError: If the task is not built.
    """
    row, info = get_task(task), task_info(task)
    stored = _loaded(task, info.files)
    forget, retain = forget_retain(stored["train"], info.forget_size(check_ratio(ratio)))
    splits = {"forget": forget, "retain": retain, **{name: rows for name, rows in stored.items() if name != "train"}}
    some = list(decode(forget.select(range(min(SHOWN_ROWS, len(forget))))))
    text = [name for name, kind in row.columns.items() if kind == "string"]
    visual = [(name, kind) for name, kind in row.columns.items() if kind in ("image", "video")]
    labels = [info.labels[one["label"]] if info.labels else "" for one in some]
    classes = ", ".join(info.labels) if len(info.labels) <= MANY_LABELS else f"{len(info.labels)} classes"
    origin = f" ({row.mini})" if info.tier == "mini" else ""
    return Rows(
        words=f"**{row.title}**, {info.tier} tier{origin}. {info.family.capitalize()} deletion, seed "
        f"{info.deletion_seed}, split `{info.split[:8]}`.{f' Labels: {classes}.' if classes else ''}",
        counts=[[name, str(len(rows))] for name, rows in splits.items()],
        pictures=[
            (_enlarged(one[name] if kind == "image" else Image.fromarray(one[name][len(one[name]) // 2])), label)
            for one, label in zip(some, labels, strict=True)
            for name, kind in visual
        ],
        texts=[
            [label, " | ".join(str(one[name]) for name in text)]
            for one, label in zip(some, labels, strict=True)
            if text
        ],
        code=f'from datasets import load_dataset\n\nds = load_dataset("{DATA}", "{config_name(task, int(ratio))}")',
    )


# Trying a method out


def _group(task: str, backbone: str, ratio: str) -> Group:
    return find_group(workbench(task, backbone), check_ratio(ratio), MODELS)


def _has_references(setting: Choice) -> bool:
    try:
        _group(*setting).require()
    except FileNotFoundError:
        return False
    return True


def methods(task: str, backbone: str, ratio: str) -> list[str]:
    """Return the methods that change a trained model and are made for the rows to forget, on a backbone."""
    keys = methods_on(workbench(task, backbone), check_ratio(ratio))
    return [key for key in keys if not METHODS[key].from_scratch]


def settings() -> list[Choice]:
    """Return task, backbone, ratio and method of every run that can be judged: those with references in ``./models``.

    Raises:
        ValueError: If a model folder is damaged.
    """
    runs = [read_run(path.parent) for path in sorted(MODELS.glob(f"*/{RUN_FILE}"))]
    found = sorted({(run.task, run.backbone, run.ratio or 0) for run in runs if run.method == "retrain"})
    ready = [setting for task, backbone, ratio in found if _has_references(setting := (task, backbone, str(ratio)))]
    return [(*setting, method) for setting in ready for method in methods(*setting)]


def command_words(task: str, backbone: str, ratio: str, method: str, seed: float) -> list[str]:
    """Return a choice as arguments of the command line, after checking that it can be run and judged.

    Raises:
        ValueError: If a choice does not exist.
        FileNotFoundError: If data, base or retrained models are missing; the message names the command.
    """
    group = _group(task, backbone, ratio)
    group.require()
    if method not in (known := methods(task, backbone, ratio)):
        raise ValueError(f"method must be one of {', '.join(known)}, got {method!r}")
    if not isinstance(seed, int | float) or not 0 <= seed < SEEDS or seed != int(seed):
        raise ValueError(f"seed must be a whole number from 0 to {SEEDS - 1}, got {seed!r}")
    return [
        *("--task", task, "--ratio", str(group.ratio), "--backbone", backbone),
        *("--base_seed", str(min(group.bases)), "--seed", str(int(seed))),
    ]


def try_out(
    task: str, backbone: str, ratio: str, method: str, seed: float, *, tell: Callable[[int, str], object]
) -> tuple[str, list[list[str]], str]:
    """Run a method on a base model and judge the result, as the command line does.

    Args:
        task: Task key.
        backbone: Backbone key.
        ratio: Percentage to delete.
        method: Method key.
        seed: Seed of the run.
        tell: Called twice a second with the number of ``STEPS`` that are over, and what is going on.

    Returns:
        The score in words, a line a metric as in ``OUTCOME_HEAD``, and the command that repeats the run.

    Raises:
        ValueError: If a choice does not exist.
        FileNotFoundError: If data, base or retrained models are missing; the message names the command.
        ArithmeticError: If the run diverged.
        RuntimeError: If the worker process was killed; the next run starts a new one.
    """
    words = command_words(task, backbone, ratio, method, seed)
    identity = _watched(lambda s: tell(0, f"{method} on {task}, {s:.0f} s"), worker.unlearn, method, words)
    _watched(lambda s: tell(1, f"judging, {s:.0f} s"), worker.judge, method, words)
    rows = read_results(RESULTS)
    row = next(row for row in rows if row.identity == identity)
    base = next(other for other in rows if other.method == "base" and _place(other) == _place(row))
    return _verdict(row), _lines(row, base), shlex.join(["python", "-m", "mubench.trainers", method, *words])


def _watched(tell: Callable[[float], object], job: Callable[..., Any], *arguments: Any) -> Any:
    start, future = time.monotonic(), worker.submit(job, *arguments)
    while True:
        try:
            return future.result(timeout=0.5)
        except StillRunning:
            tell(time.monotonic() - start)


def _place(row: Result) -> tuple[str, int, str, int]:
    return row.split, row.ratio, row.backbone, row.base_seed


def _lines(row: Result, base: Result) -> list[list[str]]:
    lines = []
    for name in (name for name in MEASURED if name in row.metrics):
        metric, value = METRICS[name], row.metrics[name]
        original = base.metrics[name].value if name in base.metrics else None
        numbers = ["-" if x is None else f"{round(x, 3) + 0:.3f}" for x in (value.value, original, value.retrained)]
        unit = f", in {metric.unit}" if metric.unit else ""
        lines.append(["S" if name == "score" else name, *numbers, metric.better, f"{metric.title}{unit}"])
    return lines


def _verdict(row: Result) -> str:
    span = f" (95 % interval {row.interval.low:.2f} to {row.interval.high:.2f})" if row.interval else ""
    head = f"S = {row.metrics['score'].value:.2f}{span}" if "score" in row.metrics else "No score"
    words = [
        f"{row.method} on {row.task} ({row.tier}), {row.backbone}, {row.ratio} % deleted: trained for "
        f"{row.cost['seconds']:.1f} s, judged against {row.n_retrained} retrained models and {row.n_bases} base seeds",
        *(["provisional: too few of them for a rank that counts"] if row.provisional else []),
        *([f"flagged: {', '.join(row.flags)}"] if row.flags else []),
        *([row.no_signal] if row.no_signal else []),
    ]
    return f"### {head}\n{'; '.join(words)}. Row `{row.run_id}`."
