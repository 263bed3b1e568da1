"""A picture of sample rows: what a visual task looks like, forget rows above and retain rows below."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from mubench.hub_builders import decode
from mubench.hub_builders.dataset.load import load_task
from mubench.hub_builders.dataset.readme import Manifest
from mubench.hub_builders.tasks import Task, get_task

Pixels = npt.NDArray[np.uint8]

ACROSS = 8
VISUAL = ("image", "video")
FRAMES = 3
LINE = 20
CELL = 1.25  # inches


def sample_picture(manifest: Manifest) -> str:
    """Name the picture of a task within its dataset folder."""
    return f"{manifest['task']}.png"


def may_be_shown(manifest: Manifest) -> bool:
    """Whether rows of a task can be looked at and may stand in a card: mini rows always, others as licensed."""
    task = get_task(manifest["task"])
    return bool(_visual(task)) and (manifest["tier"] == "mini" or task.redistributable)


def draw_samples(manifest: Manifest, data: Path, target: Path) -> Path:
    """Draw the first forget and retain rows of a built task.

    Args:
        manifest: The task's manifest.
        data: Its dataset folder.
        target: File to write, a PNG.
    """
    task, ratio = get_task(manifest["task"]), min(manifest["forget"], key=lambda ratio: abs(ratio - 5))
    splits = decode(load_task(task.key, ratio, data=data, family=manifest["family"]))
    titles = {"forget": f"forget ({ratio} %)", "retain": "retain"}
    some = {split: [splits[split][index] for index in range(min(ACROSS, len(splits[split])))] for split in titles}
    names = splits["forget"].features["label"].names if "label" in task.columns else []
    words = {split: [_words(row, task, names) for row in rows] for split, rows in some.items()}
    with mpl.rc_context({"font.size": 7}):
        figure = Figure(dpi=100, layout="constrained")
        for line, (split, title) in enumerate(titles.items()):
            for column, row in enumerate(some[split]):
                axes = figure.add_subplot(len(titles), ACROSS, line * ACROSS + column + 1)
                axes.set(xticks=[], yticks=[], frame_on=False, xlabel=words[split][column])
                picture = _side_by_side([_picture(row[name]) for name in _visual(task)])
                axes.imshow(picture, interpolation="nearest")
                if column == 0:
                    axes.set_title(title, loc="left", weight="bold", fontsize=9)
        figure.set_size_inches(CELL * ACROSS, len(titles) * _height(picture, words))
        figure.savefig(target, metadata={"Software": None})
    return target


def _height(picture: Pixels, words: Mapping[str, Sequence[str]]) -> float:
    """Return the height in inches of a line of pictures, its headline and the longest words below it."""
    lines = max(one.count("\n") + 1 for part in words.values() for one in part)
    return CELL * picture.shape[0] / picture.shape[1] + 0.14 * lines + 0.3


def _visual(task: Task) -> list[str]:
    return [name for name, kind in task.columns.items() if kind in VISUAL]


def _words(row: Mapping[str, Any], task: Task, names: Sequence[str]) -> str:
    """Return the texts and the class of a row, wrapped."""
    words = [str(row[name]) for name, kind in task.columns.items() if kind == "string"]
    if names and task.kind != "text_to_image":
        words.append(f"[{names[row['label']]}]")
    return "\n".join(textwrap.wrap(" ".join(words), LINE))


def _picture(value: Any) -> Pixels:
    """Return a picture, or some frames of a clip side by side, as (H, W, 3) bytes."""
    if isinstance(value, np.ndarray):
        return _side_by_side([value[index] for index in np.linspace(0, len(value) - 1, FRAMES).astype(int)])
    return np.asarray(value.convert("RGB"))


def _side_by_side(pictures: Sequence[Pixels]) -> Pixels:
    tallest = max(len(picture) for picture in pictures)
    padded = [
        np.pad(one, ((0, tallest - len(one)), (0, int(len(pictures) > 1)), (0, 0)), constant_values=255)
        for one in pictures
    ]
    return np.concatenate(padded, axis=1)
