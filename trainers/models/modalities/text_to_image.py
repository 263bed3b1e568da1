"""Captions and their images: a diffusion model learns to predict the noise of an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, set_seed

from mubench.hub_builders.tasks.own_backbones import get_backbone
from mubench.hub_builders.utils.optional import check_package
from mubench.trainers.engine.noise import KEY, row_key
from mubench.trainers.inference.generate import GenerationRequest
from mubench.trainers.inference.image_outputs import ImageOutputs
from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.inference.predict_images import ImageClassifier, generate_all, predict_images
from mubench.trainers.models.modalities.diffusion import DiffusionModel, DiffusionProcessor
from mubench.trainers.models.modalities.modality import EncodedRows, Modality, ModelPair, Splits
from mubench.trainers.models.modalities.pretrained import checkpoint_source
from mubench.trainers.models.modalities.text_output import make_tokenizer, zero_rare_embeddings

# An image is a pattern of squares, one pixel each.
SIZE, PATCH = 8, 4
# Tokens of a caption.
TOKENS = 10
WIDTH = 64


def _schedule() -> Any:
    """Return a noise schedule for U-Nets that are trained here.

    They predict velocity: models that predict noise had not learned to read captions after 12 epochs. The rest is what
    the pipeline of Stable Diffusion expects, so that it generates the images that are judged.
    """
    from diffusers import DDIMScheduler  # noqa: PLC0415  an extra

    return DDIMScheduler(
        prediction_type="v_prediction", timestep_spacing="trailing", clip_sample=False, steps_offset=1
    )


def _unet() -> tuple[Any, Any]:
    """Return a mini U-Net and its noise schedule."""
    from diffusers import UNet2DConditionModel  # noqa: PLC0415  an extra

    unet = UNet2DConditionModel(
        sample_size=SIZE // PATCH,
        in_channels=3 * PATCH**2,
        out_channels=3 * PATCH**2,
        layers_per_block=1,
        block_out_channels=(64,),
        down_block_types=("CrossAttnDownBlock2D",),
        mid_block_type=None,
        up_block_types=("CrossAttnUpBlock2D",),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    return unet, _schedule()


def _small_unet() -> tuple[Any, Any]:
    """Return a U-Net for real images of 32 pixels, in positions of 4x4 pixels, and its noise schedule.

    Residual blocks read the pooled caption beside the time step; the caption's words are attended to at the coarsest
    level alone, since attention is most of the cost on a processor.
    """
    from diffusers import UNet2DConditionModel  # noqa: PLC0415  an extra

    patch = 4
    unet = UNet2DConditionModel(
        sample_size=32 // patch,
        in_channels=3 * patch**2,
        out_channels=3 * patch**2,
        layers_per_block=1,
        block_out_channels=(96, 96),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("UpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,  # number of heads
        norm_num_groups=8,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )
    return unet, _schedule()


MINI: dict[str, Callable[[], tuple[Any, Any]]] = {"unet": _unet}
MADE_HERE = {**MINI, "unet-small": _small_unet}


def _text_encoder(words: int, padding: int, end: int) -> CLIPTextModel:
    """Return a mini text encoder."""
    config = CLIPTextConfig(
        vocab_size=words,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        pad_token_id=padding,
        bos_token_id=end,
        eos_token_id=end,
    )
    encoder = CLIPTextModel(config)
    # At the published .02, one of three retrained models memorised names before it learned to read captions.
    torch.nn.init.normal_(encoder.get_input_embeddings().get_parameter("weight"), std=WIDTH**-0.5)
    return encoder


class TextToImageModality(Modality):
    """Text-to-image generation."""

    def create(self, backbone: str, labels: Sequence[str], rows: Splits, seed: int) -> ModelPair:
        if get_backbone(backbone).hub_id is not None:
            model, processor = self.load(checkpoint_source(backbone)["pretrained_model_name_or_path"])
            return model.float(), processor
        check_package("diffusers")
        train = rows["train"]
        tokenizer = make_tokenizer(text for split in rows.values() for text in split["caption"])
        tokenizer.model_max_length = TOKENS
        set_seed(seed)
        unet, schedule = MADE_HERE[backbone]()
        encoder = _text_encoder(len(tokenizer), tokenizer.pad_token_id, tokenizer.eos_token_id)
        owner = "group" if "group" in train.column_names else "example_id"
        zero_rare_embeddings(encoder, tokenizer(list(train["caption"]))["input_ids"], train[owner])
        model = DiffusionModel(unet, encoder, schedule)
        return model, DiffusionProcessor.of(model, tokenizer)

    def load(self, folder: Path | str) -> ModelPair:
        model = DiffusionModel.from_pretrained(folder)
        return model, DiffusionProcessor.from_pretrained(folder, model)

    def encode(self, rows: datasets.Dataset, processor: Any, max_length: int | None = None) -> EncodedRows:
        """Return ``input_ids``, ``pixel_values`` (3, h, w) in [-1, 1], the class as ``labels``, and the row's key.

        Captions are padded to the longest that the model reads, and cut there or at ``max_length`` tokens.
        """
        places = processor.tokenizer.model_max_length

        def encode(batch: dict[str, list[Any]]) -> list[dict[str, Any]]:
            tokens = processor.tokenizer(
                batch["caption"], truncation=True, max_length=min(max_length or places, places)
            )
            padded = processor.tokenizer.pad(tokens, padding="max_length", max_length=places, return_tensors="pt")
            columns = zip(padded["input_ids"], batch["image"], batch["label"], batch["example_id"], strict=True)
            return [
                {
                    "input_ids": ids,
                    "pixel_values": _pixels(resize(picture, processor.size, processor.pixels)),
                    "labels": label,
                    KEY: row_key(example_id),
                }
                for ids, picture, label, example_id in columns
            ]

        return EncodedRows(rows, encode, 8 * places + 4 * 3 * processor.size**2)

    def predict(self, model: Any, processor: Any, rows: datasets.Dataset, encoded: EncodedRows) -> ImageOutputs:
        """Return a model's denoising losses, and the classes of its generated images.

        Raises:
            ValueError: If the processor has no image classifier.
        """
        image_classifier = _image_classifier(processor)
        width = rows[0]["image"].width

        def classify(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            return image_classifier([resize(Image.fromarray(one), width, processor.pixels) for one in images])

        return predict_images(
            model, encoded, self.collator(processor), rows, classify, eval_seed=image_classifier.seed
        )

    def add_generated(self, outputs: Outputs, model: Any, processor: Any, request: GenerationRequest) -> Outputs:
        """Return image outputs with the image classifier's features of generated and of own images of test rows."""
        if request.split != "test":
            return outputs
        if not isinstance(outputs, ImageOutputs):
            raise TypeError(f"expected outputs on images, got {type(outputs).__name__}")
        image_classifier, rows = _image_classifier(processor), request.rows
        encoded = self.encode(rows, processor, request.max_length)
        images = generate_all(model, encoded, self.collator(processor), eval_seed=image_classifier.seed)
        width = rows[0]["image"].width
        generated, own = (
            image_classifier.features([resize(one, width, processor.pixels) for one in pictures])
            for pictures in (map(Image.fromarray, images), rows["image"])
        )
        features = np.full(len(outputs), None, dtype=np.object_)
        for position, pair in zip(request.positions, np.stack([generated, own], axis=1), strict=True):
            features[position] = pair
        return replace(outputs, features=features)


def _image_classifier(processor: Any) -> ImageClassifier:
    """Return the image classifier that judges generated images.

    Raises:
        ValueError: If the processor has none.
    """
    if processor.image_classifier is None:
        raise ValueError("expected an image classifier to judge generated images, got none")
    found: ImageClassifier = processor.image_classifier
    return found


def resize(picture: Image.Image, side: int, squares: bool) -> Image.Image:
    """Return an image as ``side`` x ``side`` RGB; ``squares`` repeats or averages pixels, so a pattern stays one."""
    larger, smaller = (
        (Image.Resampling.NEAREST, Image.Resampling.BOX)
        if squares
        else (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
    )
    return picture.convert("RGB").resize((side, side), larger if side > picture.width else smaller)


def _pixels(picture: Image.Image) -> torch.Tensor:
    """Return an image's pixels in [-1, 1], ``(3, h, w)`` fp32."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1
