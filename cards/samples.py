"""A picture of sample rows: what a visual task looks like, forget rows above and retain rows below."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from datasets import Dataset
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mubench.hub_builders import decode
from mubench.hub_builders.load import load_task
from mubench.hub_builders.readme import Manifest
from mubench.hub_builders.tasks import Task, get_task

Pixels = npt.NDArray[np.uint8]

ACROSS = 8
VISUAL = ("image", "video")
FRAMES = 3
LINE = 20


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
    with mpl.rc_context({"font.size": 7}):
        figure = Figure(figsize=(1.25 * ACROSS, 3.4), dpi=100, layout="constrained")
        for index, (split, title) in enumerate(titles.items()):
            for column in range(min(ACROSS, len(splits[split]))):
                axes = figure.add_subplot(len(titles), ACROSS, index * ACROSS + column + 1)
                _draw_row(axes, splits[split][column], task, splits[split])
                if column == 0:
                    axes.set_title(title, loc="left", weight="bold", fontsize=9)
        figure.savefig(target, metadata={"Software": None})
    return target


def _visual(task: Task) -> list[str]:
    return [name for name, kind in task.columns.items() if kind in VISUAL]


def _draw_row(axes: Axes, row: Mapping[str, Any], task: Task, rows: Dataset) -> None:
    """Draw the pictures of a row and write its words below them."""
    axes.set(xticks=[], yticks=[], frame_on=False)
    axes.imshow(_side_by_side([_picture(row[name]) for name in _visual(task)]), interpolation="nearest")
    words = [str(row[name]) for name, kind in task.columns.items() if kind == "string"]
    if "label" in task.columns and task.kind != "text_to_image":
        words.append(f"[{rows.features['label'].names[row['label']]}]")
    axes.set_xlabel("\n".join(textwrap.wrap(" ".join(words), LINE)))


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
