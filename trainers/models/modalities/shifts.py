"""The small changes of an input after which a model's outputs on forget rows are stored once more, as ``shifted``.

They change no label, and are the same for every model: a model that has learned to answer like a retrained one should
still do so on the changed rows, one that answers by looking up the exact input does not. Where a change takes away
what distinguishes base and retrained models, `row_shifted` has no signal: on mini ddi2013 and imdb, whose tokenizers
spell the sentence in 15 and more pieces, base models are no farther from retrained ones than these from each other; on
mini cifar100, nlvr2 and speech_commands, retrained models differ too much among themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Columns = dict[str, list[Any]]

# Pictures move right by 2 pixels of the 224 that most published models read, smaller ones by a pixel of their own. At
# 2 of 32 pixels nothing was left to measure: on forget rows, a mini ResNet's base models were .03 farther from the
# retrained ones than these from each other, .16 at 1 pixel, .24 unmoved.
PIXELS, INPUT_WIDTH = 2, 224
SECONDS = 0.05
SENTENCE = "Here is the next one."


def _shift_right(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return pixels ``(..., H, W, C)`` moved right; the left edge is repeated, so that no black bar appears."""
    width = pixels.shape[-2]
    by = max(1, round(PIXELS * width / INPUT_WIDTH))
    return pixels[..., np.maximum(np.arange(width) - by, 0), :]


def shift_pictures(batch: Columns) -> Columns:
    """Return columns whose pictures are RGB and moved right."""
    return {
        name: [
            Image.fromarray(_shift_right(np.asarray(value.convert("RGB"))))
            if isinstance(value, Image.Image)
            else value
            for value in values
        ]
        for name, values in batch.items()
    }


def shift_videos(batch: Columns) -> Columns:
    """Return columns whose decoded ``video``, uint8 ``(T, H, W, 3)`` each, is moved right, all frames alike."""
    return {**batch, "video": [_shift_right(frames) for frames in batch["video"]]} if "video" in batch else batch


def shift_recordings(batch: Columns) -> Columns:
    """Return columns whose decoded ``audio`` begins 50 ms later, after silence, and ends where it did."""
    return {**batch, "audio": [_delay(sound) for sound in batch["audio"]]} if "audio" in batch else batch


def _delay(sound: dict[str, Any]) -> dict[str, Any]:
    samples = sound["array"]
    silence = np.zeros_like(samples, shape=round(SECONDS * sound["sampling_rate"]))
    return {**sound, "array": np.concatenate([silence, samples])[: len(samples)]}


def prepend_sentence(batch: Columns, column: str) -> Columns:
    """Return columns with one neutral sentence in front of every text of one of them."""
    return {**batch, column: [f"{SENTENCE} {text}" for text in batch[column]]} if column in batch else batch


def lengthen_limit(max_length: int | None, tokenizer: Any) -> int | None:
    """Return a limit of tokens that leaves as many to a row's own text as without the sentence."""
    return None if max_length is None else max_length + len(tokenizer(SENTENCE, add_special_tokens=False)["input_ids"])
