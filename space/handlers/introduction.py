"""The introduction on the first screen: the page, the rows of a task, and how long a base model trains."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from typing import Any

import numpy as np

from handlers.choices import backbones, built_task_info, chosen_setting
from handlers.gallery import row_cards, splits
from mubench.cards.leaderboard import shipped_tables
from mubench.hub_builders.dataset.load import TaskInfo
from mubench.trainers.evaluation.evidence_files import reference_name, shipped_evidence
from mubench.trainers.evaluation.judge_runs import table_setting
from mubench.trainers.models.setting import load_setting

SAMPLES = 4
RETRAINED = reference_name("retrain", 0)[:-1]
SENTENCES = (
    "Unlearning makes a trained model forget some of its training rows without training it anew. Here a method does "
    "so in seconds, and S says how close the result comes to models that were retrained without these rows."
)
STEPS = (
    ("Base model", "trained on all rows, the forget set included"),
    ("Unlearned model", "the method changes the base model"),
    ("Verdict", "S compares it with models retrained without the forget set: 0 is the base model, 1 is retrained"),
)


def render_steps() -> str:
    """Return what the page does, in two sentences and three steps."""
    steps = "".join(
        f"<li><b>{number}. {escape(name)}</b><span>{escape(text)}</span></li>"
        for number, (name, text) in enumerate(STEPS, start=1)
    )
    return f'<p>{escape(SENTENCES)}</p><ol class="mu-steps">{steps}</ol>'


def render_task(task: Any, ratio: Any) -> str:
    """Return what the rows of a task are, with some rows of the forget set.

    Raises:
        ValueError: If the task is not built, or has no such ratio.
    """
    info = built_task_info(task)
    row, size = info.row, info.forget_size(int(ratio))
    origin = f": {row.mini}" if info.tier == "mini" else ""
    counts = (
        f"{info.counts['train']:,} training rows, {size:,} of them to be forgotten, {info.counts['test']:,} test rows"
    )
    chosen = sample_rows(info, int(ratio))
    which = "The first rows of the forget set:"
    if chosen:
        which = (
            "Forget rows of different classes that retrained models classify correctly; they misclassify many of the "
            "others:"
        )
    cards = row_cards(info, int(ratio), "forget", chosen or range(min(SAMPLES, size)))
    return (
        f'<div class="mu-samples"><p><b>{escape(row.title)}, {info.tier} tier</b>{escape(origin)}. {counts}. '
        f"{which}</p>{cards}</div>"
    )


def sample_rows(info: TaskInfo, ratio: int) -> list[int]:
    """Return forget rows of different classes that every retrained model of the shipped evidence gets right.

    The first rows of mini CIFAR-10 are hidden by noise.

    Returns:
        Positions in the forget set, at most ``SAMPLES``; none where rows have no class, or no evidence ships.
    """
    return list(_sample_rows(info.task, info.family, info.files, ratio)) if info.labels else []


@lru_cache(maxsize=256)
def _sample_rows(task: str, family: str, _: str, ratio: int) -> tuple[int, ...]:
    setting = load_setting(task, backbones(task)[0], family=family)
    evidence = shipped_evidence(table_setting(setting.run(ratio=ratio, base_seed=0)))
    if evidence is None:
        return ()
    right = np.all(
        [one.forget.correct > 0 for name, one in evidence.models.items() if name.startswith(RETRAINED)], axis=0
    )
    known = {*evidence.rows.forget[right].tolist()}
    rows = splits(setting.info, ratio)["forget"]
    first: dict[int, int] = {}
    for position, (example, label) in enumerate(zip(rows["example_id"], rows["label"], strict=True)):
        if example in known:
            first.setdefault(label, position)
    return tuple(first.values())[:SAMPLES]


def base_seconds(task: str, backbone: str, ratio: str) -> float | None:
    """Return about how long a base model trains: as the retrained models of the shipped rows did, for all rows."""
    setting = chosen_setting(task, backbone)
    return _seconds(setting.task.key, setting.info.split, setting.backbone, int(ratio))


@lru_cache(maxsize=256)
def _seconds(task: str, split: str, backbone: str, ratio: int) -> float | None:
    wanted: tuple[Any, ...] = (task, split, backbone, ratio)
    for table in shipped_tables():
        row = table.row
        if (row.task, row.split, row.backbone, row.ratio) == wanted:
            retrained = (
                one for control in table.controls if control.rows[0].method == "retrain" for one in control.rows
            )
            seconds = [one.cost["seconds"] for one in retrained if "seconds" in one.cost]
            return float(np.mean(seconds)) / (1 - ratio / 100) if seconds else None
    return None
