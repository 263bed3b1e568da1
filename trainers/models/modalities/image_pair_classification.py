"""Two images and a statement about them: ViLT encodes each image with the words, and a head reads both results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import datasets
import torch
import torch.nn.functional as F
import transformers
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from mubench.trainers.engine.augmentation import augment_image_pairs
from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.models.modalities.modality import (
    ClassifierModality,
    Collator,
    EncodedRows,
    ModelPair,
    Splits,
    create_with_shared_body,
)
from mubench.trainers.models.modalities.pretrained import read
from mubench.trainers.models.modalities.shifts import shift_pictures
from mubench.trainers.models.modalities.text_classification import tokenizer_of, zero_rare_embeddings

SIZE, PATCH = 32, 16
COLUMNS = ("image_0", "image_1")

MINI: dict[str, Callable[[], PreTrainedConfig]] = {
    # Initialised at about 1 / sqrt(hidden_size), with a low rate in the recipe: names are learned before the features
    # that all rows share move far. With larger batches at half the rate, retrained models differ less on unseen rows:
    # a spread of .122 where .228 had been measured and .10 is allowed. A zero classifier and small embeddings of names
    # made it worse.
    "vilt": partial(
        transformers.ViltConfig,
        num_images=len(COLUMNS),
        modality_type_vocab_size=1 + len(COLUMNS),
        image_size=SIZE,
        patch_size=PATCH,
        hidden_size=128,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        initializer_range=0.085,
    ),
}


@dataclass(frozen=True)
class PairCollator:
    """Pads statements to the longest, and images at the right and at the bottom to the largest of a batch.

    Attributes:
        tokenizer: Pads the statements.
    """

    tokenizer: PreTrainedTokenizerBase

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a batch; ``pixel_values`` are ``(B, 2, 3, H, W)`` and ``pixel_mask`` ``(B, 2, H, W)``."""
        pixels = {name: [row[name] for row in rows] for name in ("pixel_values", "pixel_mask")}
        height, width = (max(mask.shape[side] for mask in pixels["pixel_mask"]) for side in (-2, -1))
        words = [{name: value for name, value in row.items() if name not in pixels} for row in rows]
        return {
            **transformers.DataCollatorWithPadding(self.tokenizer)(words),
            **{
                name: torch.stack([F.pad(one, (0, width - one.shape[-1], 0, height - one.shape[-2])) for one in parts])
                for name, parts in pixels.items()
            },
        }


class ImagePairModality(ClassifierModality):
    """Classification of a statement about two images."""

    auto: ClassVar[Any] = transformers.ViltForImagesAndTextClassification
    configs = MINI
    train_transform = staticmethod(augment_image_pairs)

    def create_from_config(self, config: PreTrainedConfig, rows: Splits, seed: int) -> ModelPair:
        tokenizer = tokenizer_of(*rows.values())
        image_processor = transformers.ViltImageProcessorPil.from_dict(
            {"size": {"shortest_edge": SIZE}, "size_divisor": PATCH}
        )
        config.update({"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id})
        model = create_with_shared_body(partial(self.auto, config), seed)
        zero_rare_embeddings(model, tokenizer, rows["train"])
        return model, transformers.ViltProcessor(image_processor, tokenizer)

    def load_processor(self, **source: Any) -> Any:
        return read(transformers.ViltProcessor, **source, backend="pil")

    def encode(self, rows: datasets.Dataset, processor: Any, max_length: int | None = None) -> EncodedRows:
        """Return token ids and masks, pixels (2, 3, H, W) and their mask, and ``labels``."""

        def encode(batch: dict[str, list[Any]]) -> list[dict[str, Any]]:
            words = processor.tokenizer(batch["text"], truncation=True, max_length=max_length)
            images = zip(*(batch[column] for column in COLUMNS), strict=True)
            return [
                {
                    **{name: words[name][row] for name in words},
                    **processor.image_processor([one.convert("RGB") for one in pair], return_tensors="pt"),
                    "labels": batch["label"][row],
                }
                for row, pair in enumerate(images)
            ]

        first = encode(rows[:1])[0]
        return EncodedRows(rows, encode, first["pixel_values"].nbytes + first["pixel_mask"].nbytes)

    def encode_shifted(self, rows: datasets.Dataset, processor: Any, max_length: int | None) -> EncodedRows:
        return self.encode(rows.with_transform(shift_pictures), processor, max_length)

    def predict(self, model: PreTrainedModel, processor: Any, rows: datasets.Dataset, encoded: EncodedRows) -> Outputs:
        """Return the logits of every row. ViLT permutes its patches at random, so the seed is fixed for equal bits."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return super().predict(model, processor, rows, encoded)

    def collator(self, processor: Any) -> Collator:
        return PairCollator(processor.tokenizer)
