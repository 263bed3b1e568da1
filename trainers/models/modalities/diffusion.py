"""The model of text-to-image tasks: a text encoder, a U-Net that tells noise from picture, perhaps an autoencoder.

Its folder is laid out like a Stable Diffusion repository of `diffusers`, and is read by it.
"""

from __future__ import annotations

import copy
import importlib.metadata
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from transformers import AutoTokenizer, CLIPTextModel, PreTrainedTokenizerBase

from mubench.hub_builders.utils.optional import check_package
from mubench.trainers.inference.image_classifier import ImageClassifier

INDEX = "model_index.json"


@dataclass
class Said:
    """What a model says about a spoiled picture.

    Attributes:
        logits: The predicted noise (or velocity), ``(B, C, H, W)``; called as all models call what they say.
    """

    logits: torch.Tensor


class DiffusionModel(torch.nn.Module):
    """Says which noise a picture was spoiled by, told its caption.

    Where there is an autoencoder, pictures are spoiled in its latent space, and only the U-Net is trained. Elsewhere
    the pixels are, ``patch`` x ``patch`` of them stacked as the channels of one place.

    Args:
        unet: A `diffusers.UNet2DConditionModel`.
        text_encoder: Turns the caption's tokens into what the U-Net attends to.
        schedule: A `diffusers.DDIMScheduler`: how noisy each time is, what is predicted, and how pictures are drawn.
        vae: A `diffusers.AutoencoderKL`; ``None`` where pixels are spoiled.

    Raises:
        ValueError: If the schedule is for models that predict neither noise nor velocity.
    """

    def __init__(self, unet: Any, text_encoder: CLIPTextModel, schedule: Any, vae: Any = None) -> None:
        super().__init__()
        if schedule.config.prediction_type not in ("epsilon", "v_prediction"):
            raise ValueError(f"expected a model of noise or velocity, got one of {schedule.config.prediction_type}")
        # The U-Net comes last, so that its blocks are the last ones of the model.
        self.vae, self.text_encoder, self.unet, self.schedule = vae, text_encoder, unet, schedule
        if vae is not None:
            vae.requires_grad_(False)
            text_encoder.requires_grad_(False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of what is spoiled."""
        config = self.unet.config
        return config.in_channels, config.sample_size, config.sample_size

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, input_ids: torch.Tensor) -> Said:
        """Return what the model says about spoiled pictures.

        Args:
            sample: Spoiled pictures, ``(B, C, H, W)``.
            timestep: When each was spoiled, ``(B,)``.
            input_ids: Captions, ``(B, tokens)``; padding is read like any other token, as Stable Diffusion does.
        """
        told = self.text_encoder(input_ids).last_hidden_state
        return Said(self.unet(sample, timestep, encoder_hidden_states=told).sample)

    @torch.no_grad()
    def latents(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return pictures as they are spoiled, ``(B, C, H, W)``, from pixels in [-1, 1], ``(B, 3, h, w)``."""
        if self.vae is None:
            return F.pixel_unshuffle(pixels, self.patch)
        latents: torch.Tensor = self.vae.encode(pixels).latent_dist.mode() * self.vae.config.scaling_factor
        return latents

    @torch.no_grad()
    def pixels(self, latents: torch.Tensor) -> torch.Tensor:
        """Return pixels in [-1, 1], ``(B, 3, h, w)``, from what was drawn."""
        if self.vae is None:
            return F.pixel_shuffle(latents, self.patch).clamp(-1, 1)
        pixels: torch.Tensor = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return pixels.clamp(-1, 1)

    @property
    def patch(self) -> int:
        """Height and width in pixels of what the U-Net sees as one place."""
        if self.vae is not None:
            return int(2 ** (len(self.vae.config.block_out_channels) - 1))
        return math.isqrt(self.unet.config.in_channels // 3)

    @property
    def size(self) -> int:
        """Height and width of a picture in pixels."""
        return int(self.unet.config.sample_size * self.patch)

    def fresh(self) -> Self:
        """Return a model of this make at the fresh initialisation of its parts; what is never trained is as it is.

        A mini text encoder starts with embeddings as small as published ones, unlike that of a mini base model.
        """
        encoder = (
            copy.deepcopy(self.text_encoder)
            if self.vae is not None
            else CLIPTextModel(copy.deepcopy(self.text_encoder.config))
        )
        unet = type(self.unet).from_config(self.unet.config)
        return type(self)(unet, encoder, self.schedule, copy.deepcopy(self.vae))

    def save_pretrained(self, folder: Path | str) -> None:
        """Write everything but the tokenizer, safetensors only."""
        folder = Path(folder)
        parts = {"unet": self.unet, "text_encoder": self.text_encoder, "scheduler": self.schedule, "vae": self.vae}
        for name, part in parts.items():
            if part is not None:
                part.save_pretrained(folder / name)
        tokenizer = "PreTrainedTokenizerFast" if self.vae is None else "CLIPTokenizer"
        nobody = [None, None]
        index = {
            "_class_name": "StableDiffusionPipeline",
            "_diffusers_version": importlib.metadata.version("diffusers"),
            "feature_extractor": nobody,
            "image_encoder": nobody,
            "requires_safety_checker": False,
            "safety_checker": nobody,
            "scheduler": ["diffusers", "DDIMScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", tokenizer],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": nobody if self.vae is None else ["diffusers", "AutoencoderKL"],
        }
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Self:
        """Load a model from a folder or the Hub."""
        check_package("diffusers")
        from diffusers import (  # noqa: PLC0415  an extra
            AutoencoderKL,
            DDIMScheduler,
            StableDiffusionPipeline,
            UNet2DConditionModel,
        )

        index = StableDiffusionPipeline.load_config(folder)
        has_vae = index.get("vae", [None])[0] is not None
        return cls(
            UNet2DConditionModel.from_pretrained(folder, subfolder="unet"),
            CLIPTextModel.from_pretrained(folder, subfolder="text_encoder"),
            DDIMScheduler.from_pretrained(folder, subfolder="scheduler"),
            AutoencoderKL.from_pretrained(folder, subfolder="vae") if has_vae else None,
        )


@dataclass(frozen=True)
class DiffusionProcessor:
    """What turns captions and pictures into model input.

    Attributes:
        tokenizer: Of the captions.
        size: Height and width of a picture in pixels, as the model takes it.
        pixels: Whether the model spoils pixels, so that a picture is a pattern of squares and resizing keeps them.
        image_classifier: Looks at pictures that the model drew; only where a model is asked what it says of rows.
    """

    tokenizer: PreTrainedTokenizerBase
    size: int
    pixels: bool
    image_classifier: ImageClassifier | None = None

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the tokenizer; what else there is is the model's."""
        self.tokenizer.save_pretrained(Path(folder) / "tokenizer")

    @classmethod
    def of(cls, model: DiffusionModel, tokenizer: PreTrainedTokenizerBase) -> Self:
        """Return the processor of a model."""
        return cls(tokenizer, model.size, model.vae is None)

    @classmethod
    def from_pretrained(cls, folder: Path | str, model: DiffusionModel) -> Self:
        """Load the tokenizer from a model's folder or repository."""
        return cls.of(model, AutoTokenizer.from_pretrained(folder, subfolder="tokenizer"))
