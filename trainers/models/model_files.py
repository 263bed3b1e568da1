"""Models that another program saved: their folder, fetched from the Hub if need be, and what its files state.

No weight is loaded.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from mubench.hub_builders.dataset.task_info import HUB_ID
from mubench.hub_builders.hub.model_folder import REFERENCE, RUN_FILE
from mubench.hub_builders.tasks import Kind, Recipe
from mubench.hub_builders.tasks.names import fingerprint
from mubench.hub_builders.tasks.own_backbones import closest_to
from mubench.hub_builders.utils.checksums import sha256_of
from mubench.hub_builders.utils.hub_client import fetch_model

CONFIG = "config.json"
# The index of a diffusion pipeline, those of its folders that are read, and what its type is called here.
PIPELINE = "model_index.json"
PARTS = ("unet", "text_encoder", "scheduler", "vae", "tokenizer")
DIFFUSION = "stable-diffusion"
# Kinds whose models read tokens; other inputs are numbers of a type of their own.
TEXTS: tuple[Kind, ...] = ("text_classification", "summarization", "text_generation")
# A folder with a tokenizer has one of these.
TOKENIZERS = (
    "tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model",
    "sentencepiece.bpe.model",
)  # fmt: skip
# A chat template lies in a file of its own, in older folders in the tokenizer's config.
CHAT_TEMPLATE, TOKENIZER_CONFIG = "chat_template.jinja", "tokenizer_config.json"
# What `save_pretrained` writes; a repository's card or pictures are no part of a model.
SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".spm", ".jinja")
_NAME = re.compile(r"[A-Za-z][\w-]{0,63}")


@dataclass(frozen=True)
class ForeignModel:
    """A model folder without a record of its training.

    Attributes:
        folder: The folder.
        architecture: Name of its class, such as ``LlamaForCausalLM`` or ``StableDiffusionPipeline``.
        model_type: Its type in transformers, such as ``llama``; `DIFFUSION` for a pipeline of diffusers.
    """

    folder: Path
    architecture: str
    model_type: str

    @property
    def identity(self) -> str:
        """The SHA-256 over its files: all that tells it from others."""
        parts = PARTS if self.model_type == DIFFUSION else ()
        found = [path for place in (".", *parts) for path in sorted(self.folder.glob(f"{place}/*"))]
        paths = [path for path in found if path.suffix in SUFFIXES and path.is_file()]
        return fingerprint({path.relative_to(self.folder).as_posix(): sha256_of(path) for path in paths})

    @property
    def has_chat_template(self) -> bool:
        """Whether its tokenizer has a chat template.

        Raises:
            ValueError: If the tokenizer's config is damaged.
        """
        path = self.folder / TOKENIZER_CONFIG
        if (self.folder / CHAT_TEMPLATE).is_file():
            return True
        if not path.is_file():
            return False
        try:
            return bool(json.loads(path.read_text(encoding="utf-8")).get("chat_template"))
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise ValueError(f"expected a tokenizer's config in {path}, got {type(error).__name__}") from error


def read_foreign(folder: Path) -> ForeignModel | None:
    """Return what is known of a foreign model; ``None`` for a folder of the suite, and for one without a model.

    Raises:
        ValueError: If its config names no architecture.
    """
    is_ours = (folder / RUN_FILE).exists() or (folder / REFERENCE).exists()
    is_pipeline = (folder / PIPELINE).is_file()
    path = folder / (PIPELINE if is_pipeline else CONFIG)
    if is_ours or not path.is_file():
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        names = (
            (config["_class_name"], DIFFUSION) if is_pipeline else (config["architectures"][0], config["model_type"])
        )
        known = all(isinstance(name, str) and _NAME.fullmatch(name) for name in names)
    except (OSError, ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise ValueError(f"expected a model's config in {path}, got {type(error).__name__}") from error
    if not known:
        raise ValueError(
            f"expected {'_class_name' if is_pipeline else 'architectures and model_type'} in {path}, got other names"
        )
    return ForeignModel(folder, *names)


def check_tokenizer(folder: Path) -> None:
    """Raise ``ValueError`` if a folder holds no tokenizer: transformers would make one whose tokens are others."""
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise ValueError(f"expected a tokenizer in {folder}, got none: tokenizer.save_pretrained writes it there")


def find_model(name: str) -> Path:
    """Return the folder of a model, given by path or Hub id.

    A name is a path if it exists or its parent folder does; otherwise it is a Hub id, and the model is fetched.
    """
    here = Path(name).exists() or Path(name).parent.is_dir()
    return Path(name) if here or not HUB_ID.fullmatch(name) else fetch_model(name)


def closest_backbone(model: ForeignModel, recipes: Mapping[str, Recipe]) -> str:
    """Return the backbone whose recipe and defaults hold for a model, see `closest_of`.

    Raises:
        ValueError: If there are no weights, or they or the tokenizer's config are damaged.
    """
    return closest_to(
        recipes,
        architecture=model.architecture,
        model_type=model.model_type,
        millions=count_parameters(model) / 1e6,
        has_chat_template=model.has_chat_template,
    )


def count_parameters(model: ForeignModel) -> int:
    """Return the number of numbers in the safetensors files of a model, of a pipeline in those of its U-Net.

    Raises:
        ValueError: If there are no such files, or they are damaged.
    """
    folder, count = model.folder / (PARTS[0] if model.model_type == DIFFUSION else ""), 0
    paths = [path for path in sorted(folder.glob("*.safetensors")) if len(path.suffixes) == 1]  # no other precision
    if not paths:
        raise ValueError(f"expected weights as safetensors in {folder}, got none")
    for path in paths:
        try:
            with safe_open(path, "pt") as file:
                count += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise ValueError(f"expected weights in {path}, got {type(error).__name__}") from error
    return count
