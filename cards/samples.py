"""Pictures of sample rows of visual tasks: forget rows above, retain rows below."""

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
from mubench.hub_builders.dataset.manifest import Manifest, task_of
from mubench.hub_builders.tasks import Task

Pixels = npt.NDArray[np.uint8]

COLUMNS = 8
VISUAL = ("image", "video")
FRAMES = 3
LINE_LENGTH = 20
CELL = 1.25  # inches


def has_public_images(manifest: Manifest) -> bool:
    """Whether a task has images or video that a card may show: of mini rows always, of others by their licence."""
    task = task_of(manifest)
    return bool(_visual(task)) and (manifest["tier"] == "mini" or task.redistributable)


def draw_samples(manifest: Manifest, data: Path, target: Path) -> None:
    """Draw the first forget and retain rows of a task that is built in the folder ``data`` into a PNG file."""
    task, ratio = task_of(manifest), min(manifest["forget"], key=lambda ratio: abs(ratio - 5))
    splits = decode(load_task(task.key, ratio, data=data, family=manifest["family"]))
    titles = {"forget": f"forget ({ratio} %)", "retain": "retain"}
    rows = {split: [splits[split][index] for index in range(min(COLUMNS, len(splits[split])))] for split in titles}
    names = splits["forget"].features["label"].names if "label" in task.columns else []
    captions = {split: [_caption(row, task, names) for row in rows[split]] for split in titles}
    with mpl.rc_context({"font.size": 7}):
        figure = Figure(dpi=100, layout="constrained")
        for line, (split, title) in enumerate(titles.items()):
            for column, row in enumerate(rows[split]):
                axes = figure.add_subplot(len(titles), COLUMNS, line * COLUMNS + column + 1)
                axes.set(xticks=[], yticks=[], frame_on=False, xlabel=captions[split][column])
                pixels = _side_by_side([_pixels(row[name]) for name in _visual(task)])
                axes.imshow(pixels, interpolation="nearest")
                if column == 0:
                    axes.set_title(title, loc="left", weight="bold", fontsize=9)
        figure.set_size_inches(CELL * COLUMNS, len(titles) * _height(pixels, captions))
        figure.savefig(target, metadata={"Software": None})


def _height(pixels: Pixels, captions: Mapping[str, Sequence[str]]) -> float:
    """Return the height in inches of a row of images with its title and longest caption."""
    lines = max(caption.count("\n") + 1 for each in captions.values() for caption in each)
    return CELL * pixels.shape[0] / pixels.shape[1] + 0.14 * lines + 0.3


def _visual(task: Task) -> list[str]:
    return [name for name, kind in task.columns.items() if kind in VISUAL]


def _caption(row: Mapping[str, Any], task: Task, names: Sequence[str]) -> str:
    """Return the texts and the class of a row, wrapped."""
    texts = [str(row[name]) for name, kind in task.columns.items() if kind == "string"]
    if names and task.kind != "text_to_image":
        texts.append(f"[{names[row['label']]}]")
    return "\n".join(textwrap.wrap(" ".join(texts), LINE_LENGTH))


def _pixels(value: Any) -> Pixels:
    """Return an image, or some frames of a video side by side, as ``(H, W, 3)`` bytes."""
    if isinstance(value, np.ndarray):
        return _side_by_side([value[index] for index in np.linspace(0, len(value) - 1, FRAMES).astype(int)])
    return np.asarray(value.convert("RGB"))


def _side_by_side(images: Sequence[Pixels]) -> Pixels:
    height, gap = max(len(image) for image in images), int(len(images) > 1)
    padded = [np.pad(image, ((0, height - len(image)), (0, gap), (0, 0)), constant_values=255) for image in images]
    return np.concatenate(padded, axis=1)
