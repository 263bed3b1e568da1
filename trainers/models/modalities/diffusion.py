"""The model of text-to-image tasks: a text encoder, a denoising U-Net, and optionally an autoencoder.

Its folder has the layout of a Stable Diffusion repository, which `diffusers` reads.
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
from transformers import CLIPTextModel, PreTrainedTokenizerBase

from mubench.hub_builders.utils.optional import check_package
from mubench.trainers.inference.predict_images import ImageClassifier
from mubench.trainers.models.modalities.pretrained import explain_damage, load_complete, load_tokenizer, read
from mubench.trainers.models.model_files import PIPELINE

CLASS = "StableDiffusionPipeline"


@dataclass
class DiffusionOutput:
    """The output of a diffusion model.

    Attributes:
        logits: The predicted noise or velocity, ``(B, C, H, W)``, under the name that all models use.
    """

    logits: torch.Tensor


class DiffusionModel(torch.nn.Module):
    """Predicts the noise (or velocity) of a noisy image, given its caption.

    With an autoencoder, noise is added in its latent space and only the U-Net is trained. Without one, noise is added
    to the pixels, ``patch`` x ``patch`` of them stacked as the channels of one position.

    Args:
        unet: A `diffusers.UNet2DConditionModel`.
        text_encoder: Encodes the caption's tokens, which the U-Net attends to.
        schedule: A `diffusers.DDIMScheduler`: noise of each time step, prediction type, and sampling.
        vae: A `diffusers.AutoencoderKL`; ``None`` for noise on pixels.

    Raises:
        ValueError: If the model predicts neither noise nor velocity.
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
        """Channels, height and width of the noisy input."""
        config = self.unet.config
        return config.in_channels, config.sample_size, config.sample_size

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, input_ids: torch.Tensor) -> DiffusionOutput:
        """Return the prediction for noisy images.

        Args:
            sample: Noisy images, ``(B, C, H, W)``.
            timestep: Time step of each, ``(B,)``.
            input_ids: Captions, ``(B, tokens)``; padding is read like any other token, as Stable Diffusion does.
        """
        states = self.text_encoder(input_ids).last_hidden_state
        return DiffusionOutput(self.unet(sample, timestep, encoder_hidden_states=states).sample)

    @torch.no_grad()
    def latents(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return images in the space of the noise, ``(B, C, H, W)``, from pixels in [-1, 1], ``(B, 3, h, w)``."""
        if self.vae is None:
            return F.pixel_unshuffle(pixels, self.patch)
        return self.vae.encode(pixels).latent_dist.mode() * self.vae.config.scaling_factor

    @torch.no_grad()
    def pixels(self, latents: torch.Tensor) -> torch.Tensor:
        """Return pixels in [-1, 1], ``(B, 3, h, w)``, from latents ``(B, C, H, W)``."""
        if self.vae is None:
            return F.pixel_shuffle(latents, self.patch).clamp(-1, 1)
        pixels: torch.Tensor = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return pixels.clamp(-1, 1)

    @property
    def patch(self) -> int:
        """Height and width in pixels of one position of the U-Net's input."""
        if self.vae is not None:
            return int(2 ** (len(self.vae.config.block_out_channels) - 1))
        return math.isqrt(self.unet.config.in_channels // 3)

    @property
    def size(self) -> int:
        """Height and width of an image in pixels."""
        return int(self.unet.config.sample_size * self.patch)

    def fresh(self) -> Self:
        """Return a freshly initialised model of this architecture; parts that are never trained are copied.

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
        absent = [None, None]
        index = {
            "_class_name": CLASS,
            "_diffusers_version": importlib.metadata.version("diffusers"),
            "feature_extractor": absent,
            "image_encoder": absent,
            "requires_safety_checker": False,
            "safety_checker": absent,
            "scheduler": ["diffusers", "DDIMScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", tokenizer],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": absent if self.vae is None else ["diffusers", "AutoencoderKL"],
        }
        (folder / PIPELINE).write_text(json.dumps(index, indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Self:
        check_package("diffusers")
        import diffusers  # noqa: PLC0415  an extra

        with explain_damage():
            index = diffusers.StableDiffusionPipeline.load_config(folder)
            has_vae = index.get("vae", [None])[0] is not None
            if (found := index.get("_class_name")) != CLASS:  # others have more text encoders, or no U-Net
                raise ValueError(f"expected a {CLASS} in {folder}, got {found}")
        for part in ("unet", "text_encoder", "scheduler", *(["vae"] if has_vae else [])):
            if not Path(folder, part).is_dir():
                raise ValueError(f"expected a folder {part} in {folder}, got none")
        return cls(
            load_complete(diffusers.UNet2DConditionModel, folder, subfolder="unet"),
            load_complete(CLIPTextModel, folder, subfolder="text_encoder"),
            read(diffusers.DDIMScheduler, pretrained_model_name_or_path=folder, subfolder="scheduler"),
            load_complete(diffusers.AutoencoderKL, folder, subfolder="vae") if has_vae else None,
        )


@dataclass(frozen=True)
class DiffusionProcessor:
    """Turns captions and images into model input.

    Attributes:
        tokenizer: Of the captions.
        size: Height and width of the model's images in pixels.
        pixels: Whether noise is added to pixels: resizing then repeats or averages them, see `resize`.
        image_classifier: Classifies generated images; needed for `TextToImageModality.predict` alone.
    """

    tokenizer: PreTrainedTokenizerBase
    size: int
    pixels: bool
    image_classifier: ImageClassifier | None = None

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the tokenizer; all else is the model's."""
        self.tokenizer.save_pretrained(Path(folder) / "tokenizer")

    @classmethod
    def of(cls, model: DiffusionModel, tokenizer: PreTrainedTokenizerBase) -> Self:
        return cls(tokenizer, model.size, model.vae is None)

    @classmethod
    def from_pretrained(cls, folder: Path | str, model: DiffusionModel) -> Self:
        return cls.of(model, load_tokenizer(pretrained_model_name_or_path=folder, subfolder="tokenizer"))
