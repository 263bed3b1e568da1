"""The task table and the table of backbones: a task is `definitions/<task>.yaml`, described by `schema.Task`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from mubench.hub_builders.tasks.schema import Backbone, Recipe, Source, Task
from mubench.hub_builders.utils.cli import did_you_mean

_FOLDER = Path(__file__).parent


def _read(name: str) -> dict[str, Any]:
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    data: dict[str, Any] = yaml.load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), loader)
    return data


def _read_task(key: str) -> Task:
    data = _read(f"definitions/{key}")
    labels = data.pop("labels", data.get("label_words", ()))
    for name in ("mini_labels", "reported"):
        if name in data:
            data[name] = tuple(data[name])
    for name in ("source", "ood_source"):
        if name in data:
            data[name] = Source(**{**data[name], "files": tuple(data[name]["files"])})
    for name in ("recipes", "classifiers"):
        data[name] = {backbone: Recipe(**recipe) for backbone, recipe in data.get(name, {}).items()}
    return Task(key=key, labels=tuple(labels), **data)


BACKBONES: dict[str, Backbone] = {name: Backbone(**backbone) for name, backbone in _read("backbones").items()}
TASKS: dict[str, Task] = {
    "cifar10": _read_task("cifar10"),
    "cifar100": _read_task("cifar100"),
    "imdb": _read_task("imdb"),
    "ddi2013": _read_task("ddi2013"),
    "nlvr2": _read_task("nlvr2"),
    "speech_commands": _read_task("speech_commands"),
    "ucf101": _read_task("ucf101"),
    "samsum": _read_task("samsum"),
    "celeb_profile": _read_task("celeb_profile"),
    "tiny_imagenet": _read_task("tiny_imagenet"),
    "tofu": _read_task("tofu"),
}


def get_task(key: str) -> Task:
    """Return a task of the table.

    Raises:
        ValueError: If the task is unknown; the message lists the known ones.
    """
    if key not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, got {key!r}{did_you_mean(key, TASKS)}")
    return TASKS[key]


def in_order(keys: Iterable[str]) -> list[str]:
    """Return task keys in the order of the table, those of custom tasks after it by name."""
    found = set(keys)
    return [*(key for key in TASKS if key in found), *sorted(found - TASKS.keys())]
