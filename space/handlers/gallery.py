"""Rows as cards: what is in them, and what models say of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from typing import Any

from datasets import Dataset, DatasetDict

from handlers.media import clip, drawing, picture, sound, text
from mubench.hub_builders import decode
from mubench.hub_builders.dataset.load import TaskInfo, load_task, split_by_rank
from mubench.hub_builders.tasks import Task, get_task

PLAYED: dict[str, Callable[[Any, str], str]] = {"image": picture, "audio": sound, "video": clip}
TEXTS = ("string", "strings")
WRITING = ("summarization", "text_generation")
# Cards of these kinds have more to show.
WIDE = (*WRITING, "text_to_image")
SAYING = ("base", "unlearned", "retrained")


@lru_cache(maxsize=16)
def _loaded(task: str, family: str, _: str) -> DatasetDict:
    return load_task(task, family=family)


def splits(info: TaskInfo, ratio: int) -> dict[str, Dataset]:
    """Return the rows of a config, by split; at ratio 0 the training rows are undivided."""
    stored = _loaded(info.task, info.family, info.files)
    if not ratio:
        return dict(stored)
    forget, retain = split_by_rank(stored["train"], info.forget_size(ratio))
    return {"forget": forget, "retain": retain, **{name: rows for name, rows in stored.items() if name != "train"}}


@dataclass(frozen=True)
class _Place:
    """Where a row is; equal places hold equal rows."""

    info: TaskInfo = field(compare=False)
    files: str
    ratio: int
    split: str
    index: int


@lru_cache(maxsize=4096)
def _content(place: _Place) -> str:
    row = decode(splits(place.info, place.ratio)[place.split].select([place.index]))[0]
    return _shown(get_task(place.info.task), row, _label(place.info, row))


def _label(info: TaskInfo, row: Mapping[str, Any]) -> str:
    return info.labels[row["label"]] if info.labels and "label" in row else ""


def _shown(task: Task, row: Mapping[str, Any], label: str) -> str:
    parts = [
        PLAYED[kind](row[name], f"{name} of a row{f', {label}' if label else ''}")
        for name, kind in task.columns.items()
        if kind in PLAYED
    ]
    parts += [text(name, row[name]) for name, kind in task.columns.items() if kind in TEXTS]
    return "".join(parts)


def cards(
    info: TaskInfo, ratio: int, split: str, places: Sequence[int], said: Sequence[Mapping[str, Any]] | None = None
) -> str:
    """Return rows as cards.

    Args:
        info: The task as it is built.
        ratio: Deletion ratio.
        split: Split.
        places: Positions of the rows.
        said: What models say of each of them.
    """
    rows, task = splits(info, ratio)[split], get_task(info.task)
    made = []
    for place, index in enumerate(places):
        plain = rows.select_columns([name for name in ("example_id", "label") if name in rows.column_names])[index]
        label = _label(info, plain)
        content = _content(_Place(info, info.files, ratio, split, index))
        name = f"<b>{escape(label)}</b>" if label else ""
        answers = _answers(said[place], writes=task.kind in WRITING, label=label) if said else ""
        made.append(
            f'<figure class="mu-card">{content}<figcaption>{name}<small>{escape(plain["example_id"])}</small>{answers}'
            "</figcaption></figure>"
        )
    wide = " mu-wide" if task.kind in WIDE else ""
    return f'<div class="mu-cards{wide}" data-task="{escape(info.task)}">{"".join(made)}</div>'


def _answers(said: Mapping[str, Any], *, writes: bool, label: str) -> str:
    """Return what base, unlearned and retrained model say of a row, in that order."""
    lines = []
    models = {model: said[model] for model in SAYING if model in said}
    for model, answer in models.items():
        right = answer["score"] if writes else float(answer["said"] == label)
        mark = f"{answer['score']:.0%} of tokens" if writes else ("right" if right == 1 else "wrong")
        tone = "mu-right" if right >= 0.5 else "mu-wrong"
        lines.append(
            f"<dt>{model}</dt><dd>{escape(answer['said'])} <i class='{tone}'>{mark}</i> "
            f"<small>loss {answer['loss']:.2f}</small></dd>"
        )
    return f"{_drawn(models)}<dl>{''.join(lines)}</dl>"


def _drawn(models: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what the models draw to a row's caption, side by side; nothing where they do not draw."""
    parts = [
        f"<div>{drawing(answer['drawn'], f'drawn by the {model} model')}<small>{model}</small></div>"
        for model, answer in models.items()
        if "drawn" in answer
    ]
    return f'<div class="mu-drawn">{"".join(parts)}</div>' if parts else ""
