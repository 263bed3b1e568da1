"""Models that another program saved, as the start of a run: their backbone, tokens and class names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from mubench.trainers.models.modalities.pretrained import LoadOptions, load_tokenizer
from mubench.trainers.models.model_files import ForeignModel, read_foreign
from mubench.trainers.models.setting import Setting

# Kinds whose outputs are about tokens, which two tokenizers number differently.
TOKENS = ("summarization", "text_generation")
# What a model of these kinds is called, and the classes that are one.
WANTED = {
    "summarization": ("a sequence-to-sequence model", MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES),
    "text_generation": ("a causal language model", MODEL_FOR_CAUSAL_LM_MAPPING_NAMES),
}


def load_start(
    setting: Setting, folder: Path, identity: str | None, options: LoadOptions | None = None
) -> tuple[PreTrainedModel, Any]:
    """Return a foreign model to change, whose classes get the names of the task's, and its processor.

    Raises:
        ValueError: If the folder is damaged, has changed since its files were hashed, or the model is of another kind.
    """
    model, processor = setting.load_foreign(folder, options)
    foreign = read_foreign(folder)
    if foreign is None or foreign.identity != identity:
        raise ValueError(f"expected {folder} as it was when the run was planned, got other files")
    if setting.task.kind.endswith("_classification"):
        model.config.id2label = dict(enumerate(setting.info.labels))
        model.config.label2id = {name: number for number, name in enumerate(setting.info.labels)}
    return model, processor


def check_architecture(setting: Setting, model: ForeignModel) -> None:
    """Raise ``ValueError`` if a foreign model generates no text where the task is about that."""
    if setting.task.kind in WANTED:
        wanted, classes = WANTED[setting.task.kind]
        if model.architecture not in classes.values():
            raise ValueError(f"expected {wanted} in {model.folder}, got {model.architecture}")


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
