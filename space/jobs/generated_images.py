"""What models draw to the captions of some rows: the very pictures that their answers are about."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from mubench.hub_builders.hub.model_folder import RUN_FILE
from mubench.trainers.evaluation.references import Group
from mubench.trainers.inference.generate import generate_images
from mubench.trainers.inference.predict import eval_mode
from mubench.trainers.models.modalities.text_to_image import resize
from mubench.trainers.models.setting import Setting

# Of so many base and retrained models a process keeps the drawings, a few kilobytes each.
MOST_KEPT = 16
_kept: dict[tuple[Path, int, tuple[str, ...]], list[str]] = {}


def draw(group: Group, model: Path, base_seed: int, rows: Sequence[dict[str, Any]]) -> None:
    """Add to every row what the models of its answers draw to its caption.

    Args:
        group: The reference models.
        model: Folder of the run.
        base_seed: Seed of its base model.
        rows: Example id, and an answer a model, of every row.
    """
    ids = [row["id"] for row in rows]
    pictures = {
        "base": _lasting(group.setting, group.bases[base_seed], ids),
        "unlearned": drawings(group.setting, model, ids),
    }
    if group.retrained:
        pictures["retrained"] = _lasting(group.setting, group.retrained[min(group.retrained)], ids)
    for name, texts in pictures.items():
        for row, text in zip(rows, texts, strict=True):
            row[name]["drawn"] = text


def _lasting(setting: Setting, folder: Path, ids: Sequence[str]) -> list[str]:
    """Return the drawings of a model that many runs are set beside: drawn once, until it is trained anew."""
    key = (folder.resolve(), (folder / RUN_FILE).stat().st_mtime_ns, tuple(ids))
    if key not in _kept:
        if len(_kept) >= MOST_KEPT:
            del _kept[next(iter(_kept))]
        _kept[key] = drawings(setting, folder, ids)
    return _kept[key]


def drawings(setting: Setting, folder: Path, ids: Sequence[str]) -> list[str]:
    """Return what a model draws to training rows, each as large as the row's own picture: PNG in base64.

    Args:
        setting: Task and backbone.
        folder: Folder of the model.
        ids: Example ids of the rows.
    """
    train = setting.rows["train"]
    place_of = {name: place for place, name in enumerate(train["example_id"])}
    rows = train.select([place_of[name] for name in ids])
    loaded: tuple[Any, Any] = setting.modality.load(folder)
    model, processor = loaded
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    encoded = setting.modality.encode(rows, processor, setting.recipe.max_length)
    batch = setting.modality.collator(processor)([encoded[place] for place in range(len(rows))])
    with eval_mode(model):
        pictures = generate_images(model, batch, eval_seed=setting.eval_seed)
    return [
        _text(_as_large_as(own, Image.fromarray(pixels), processor.pixels))
        for own, pixels in zip(rows["image"], pictures, strict=True)
    ]


def _as_large_as(own: Image.Image, picture: Image.Image, squares: bool) -> Image.Image:
    """Return a drawing, which is square as pictures are to the model, in the shape of the row's own picture."""
    shown = resize(picture, own.width, squares)
    return shown if shown.size == own.size else shown.resize(own.size)


def _text(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
