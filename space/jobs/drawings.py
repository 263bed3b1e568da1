"""What models draw to the captions of some rows: the very pictures that their answers are about."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from mubench.hub_builders.drawing import drawn
from mubench.hub_builders.modalities.text_to_image import resized
from mubench.hub_builders.prediction import evaluating
from mubench.hub_builders.workbench import Workbench


def drawings(bench: Workbench, folder: Path, ids: Sequence[str]) -> list[str]:
    """Return what a model draws to training rows, as large as their own pictures: PNG in base64, which JSON takes.

    Args:
        bench: Task and backbone.
        folder: Folder of the model.
        ids: Example ids of the rows.
    """
    train = bench.rows["train"]
    place_of = {name: place for place, name in enumerate(train["example_id"])}
    rows = train.select([place_of[name] for name in ids])
    loaded: tuple[Any, Any] = bench.modality.load(folder)
    model, processor = loaded
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    encoded = bench.modality.encode(rows, processor, bench.recipe.max_length)
    batch = bench.modality.collator(processor)([encoded[place] for place in range(len(rows))])
    with evaluating(model):
        pictures = drawn(model, batch, eval_seed=bench.eval_seed)
    side = rows[0]["image"].width
    return [_text(resized(Image.fromarray(pixels), side, processor.pixels)) for pixels in pictures]


def _text(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
