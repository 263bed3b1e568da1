"""Images that text-to-image models generate from captions, as shown in the gallery and as judged."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from mubench.hub_builders.hub.model_folder import RUN_FILE
from mubench.hub_builders.utils.images import encode_png
from mubench.trainers.evaluation.group import Group
from mubench.trainers.inference.predict import eval_mode
from mubench.trainers.inference.predict_images import generate_images
from mubench.trainers.models.modalities.text_to_image import resize
from mubench.trainers.models.setting import Setting

# Reference models whose images a process caches, a few kilobytes each.
MAX_CACHED = 16
_cache: dict[tuple[Path, int, tuple[str, ...]], list[str]] = {}


def add_generated_images(group: Group, model: Path, base_seed: int, rows: Sequence[dict[str, Any]]) -> None:
    """Add to the predictions of every row the image that each model generates from its caption, as ``drawn``."""
    ids = [row["id"] for row in rows]
    images = {
        "base": _reference_images(group.setting, group.bases[base_seed], ids),
        "unlearned": _generate(group.setting, model, ids),
    }
    if group.retrained:
        images["retrained"] = _reference_images(group.setting, group.retrained[min(group.retrained)], ids)
    for name, encoded in images.items():
        for row, image in zip(rows, encoded, strict=True):
            row[name]["generated_image"] = image


def _reference_images(setting: Setting, folder: Path, ids: Sequence[str]) -> list[str]:
    """Return the images of a reference model, which many runs share; cached until the model is trained again."""
    key = (folder.resolve(), (folder / RUN_FILE).stat().st_mtime_ns, tuple(ids))
    if key not in _cache:
        if len(_cache) >= MAX_CACHED:
            del _cache[next(iter(_cache))]
        _cache[key] = _generate(setting, folder, ids)
    return _cache[key]


def _generate(setting: Setting, folder: Path, ids: Sequence[str]) -> list[str]:
    """Generate one image per training row of these ids, in the size of the row's own image: PNG in base64."""
    train = setting.rows["train"]
    position = {name: index for index, name in enumerate(train["example_id"])}
    rows = train.select([position[name] for name in ids])
    loaded: tuple[Any, Any] = setting.load(folder, f"remove {folder} and start its command again")
    model, processor = loaded
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    encoded = setting.modality.encode(rows, processor, setting.recipe.max_length)
    batch = setting.modality.collator(processor)([encoded[index] for index in range(len(rows))])
    with eval_mode(model):
        images = generate_images(model, batch, eval_seed=setting.eval_seed)
    found = []
    for original, pixels in zip(rows["image"], images, strict=True):
        image = resize(Image.fromarray(pixels), original.width, processor.pixels)
        image = image if image.size == original.size else image.resize(original.size)  # generated images are square
        found.append(base64.b64encode(encode_png(image)).decode())
    return found
