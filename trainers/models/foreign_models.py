"""Models that another program saved: what is known of them, and how they are loaded as the start of a run."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from mubench.hub_builders.hub.model_folder import REFERENCE, RUN_FILE
from mubench.hub_builders.tasks import BACKBONES, Task
from mubench.hub_builders.tasks.names import fingerprint
from mubench.hub_builders.utils.checksums import sha256_of
from mubench.trainers.models.modalities.pretrained import load_tokenizer
from mubench.trainers.models.setting import Setting

CONFIG = "config.json"
# What `save_pretrained` writes; a repository's card or pictures are no part of a model.
SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".jinja")
# Kinds whose outputs are about tokens, which two tokenizers number differently.
TOKENS = ("summarization", "text_generation")
_MADE_HERE = re.compile("^(mini|small|tiny)-")
_NAME = re.compile(r"[A-Za-z][\w-]{0,63}")


@dataclass(frozen=True)
class ForeignModel:
    """A model folder without a record of its training.

    Attributes:
        folder: The folder.
        architecture: Name of its class, such as ``LlamaForCausalLM``.
        model_type: Its type in transformers, such as ``llama``.
    """

    folder: Path
    architecture: str
    model_type: str

    @property
    def identity(self) -> str:
        """The SHA-256 over its files: all that tells it from others."""
        paths = [path for path in sorted(self.folder.iterdir()) if path.suffix in SUFFIXES and path.is_file()]
        return fingerprint({path.name: sha256_of(path) for path in paths})

    def is_of(self, family: str) -> bool:
        """Whether its type, such as ``mobilenet_v2``, is of a family of backbones, such as ``mini-mobilenet``."""
        name = _MADE_HERE.sub("", family)
        prefix = self.architecture.partition("For")[0].lower()  # `ast` of ASTForAudioClassification
        return name in (self.model_type, re.split(r"[-_]", self.model_type)[0], prefix)


def read_foreign(folder: Path) -> ForeignModel | None:
    """Return what is known of a foreign model; ``None`` for a folder of the suite, and for one without a model.

    Raises:
        ValueError: If its config names no architecture.
    """
    is_ours = (folder / RUN_FILE).exists() or (folder / REFERENCE).exists()
    if is_ours or not (folder / CONFIG).is_file():
        return None
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        names = (config["architectures"][0], config["model_type"])
        known = all(isinstance(name, str) and _NAME.fullmatch(name) for name in names)
    except (OSError, ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise ValueError(f"expected a model's config in {folder / CONFIG}, got {type(error).__name__}") from error
    if not known:
        raise ValueError(f"expected architectures and model_type in {folder / CONFIG}, got other names")
    return ForeignModel(folder, *names)


def closest_backbone(model: ForeignModel, task: Task, tier: str) -> str | None:
    """Return a task's backbone of a model's family, by preference one that the tier has; ``None`` without one."""
    same = [key for key in task.recipes if model.is_of(BACKBONES[key].family)]
    return min(same, key=lambda key: BACKBONES[key].is_mini != (tier == "mini"), default=None)


def load_start(setting: Setting, folder: Path, identity: str | None) -> tuple[PreTrainedModel, Any]:
    """Return a foreign model to change, whose classes get the names of the task's, and its processor.

    Raises:
        ValueError: If the folder is damaged, has changed since its files were hashed, or the model is of another kind.
    """
    model, processor = setting.load_foreign(folder)
    foreign = read_foreign(folder)
    if foreign is None or foreign.identity != identity:
        raise ValueError(f"expected {folder} as it was when the run was planned, got other files")
    if setting.task.kind.endswith("_classification"):
        model.config.id2label = dict(enumerate(setting.info.labels))
        model.config.label2id = {name: number for number, name in enumerate(setting.info.labels)}
    return model, processor


def check_tokens(setting: Setting, folder: Path, reference: Path | None) -> None:
    """Check that a foreign model has the tokens of a reference model, where outputs of both are compared by token.

    Raises:
        ValueError: If it has others, or there is no folder of a reference model.
    """
    if setting.task.kind not in TOKENS:
        return
    if reference is None:
        raise ValueError(
            f"expected reference models whose tokenizer is that of {folder}, got shipped numbers of some; make them "
            f"with `references`, or without a row: --judge false"
        )
    own, other = (load_tokenizer(pretrained_model_name_or_path=one).get_vocab() for one in (folder, reference))
    if own != other:
        raise ValueError(
            f"expected the tokenizer of the references ({len(other)} tokens, as in {reference}), got {len(own)} "
            f"tokens in {folder}; without a row: --judge false"
        )
