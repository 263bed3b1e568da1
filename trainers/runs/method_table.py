"""The table of methods in words: for which kinds of task, on which rows, with which options."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

from mubench.hub_builders.tasks import Kind
from mubench.hub_builders.utils.tables import align_columns
from mubench.trainers.methods import METHODS
from mubench.trainers.runs.recorded_arguments import RECORDED, recorded_names
from mubench.trainers.unlearning.unlearning_trainer import (
    CLASSIFICATION,
    TEXT_GENERATION,
    TEXT_TO_IMAGE,
    UnlearningTrainer,
)

# A column each, in the order of the kinds.
SHORT: dict[Kind, str] = {
    "image_classification": "image", "text_classification": "text", "image_pair_classification": "pair",
    "audio_classification": "audio", "video_classification": "video", "summarization": "summary",
    "text_generation": "answer", "text_to_image": "drawing",
}  # fmt: skip
NATIVE, ADAPTED, UNDEFINED = "+", "o", "-"
LEGEND = f"{NATIVE} native, {ADAPTED} carried over by an adapter, {UNDEFINED} undefined"


def applies(trainer: type[UnlearningTrainer], kind: Kind) -> str:
    """Return whether a method is native to a kind of task, carried over to it, or undefined there."""
    if kind not in trainer.kinds:
        return UNDEFINED
    return ADAPTED if kind in trainer.adapted_kinds else NATIVE


def summary(trainer: type[UnlearningTrainer]) -> str:
    """Return a method in a line: the first of its docstring."""
    return (trainer.__doc__ or "").partition("\n")[0].replace("`", "")


def options(trainer: type[UnlearningTrainer]) -> dict[str, Any]:
    """Return the arguments that are a method's own, with their defaults."""
    own = [name for name in recorded_names(trainer) if name not in RECORDED]
    fields = {field.name: field for field in dataclasses.fields(trainer.arguments)}
    return {name: fields[name].default for name in own}


def remarks(trainer: type[UnlearningTrainer]) -> list[str]:
    """Return what else is to be known before a method is chosen."""
    said: Mapping[str, object] = {
        "its rows interact (coupled)": trainer.coupled,
        "edits the weights once": trainer.edits(),
        "starts from a fresh model": trainer.from_scratch,
        "a control, never ranked": trainer.is_control,
        "takes no LoRA": trainer.per_weight,
        "forgets whole classes only": trainer.whole_classes,
        "reads validation rows": trainer.needs_validation,
        f"on {', '.join(trainer.families or ())} only": trainer.families,
    }
    return [words for words, holds in said.items() if holds]


def table(methods: Mapping[str, type[UnlearningTrainer]] = METHODS) -> list[str]:
    """Return the lines of a table: a method each, its kinds of task, the rows it trains on, whether it is coupled."""
    lines = [("method", *SHORT.values(), "rows", "coupled")]
    for key, trainer in methods.items():
        kinds = [applies(trainer, kind) for kind in (*CLASSIFICATION, *TEXT_GENERATION, *TEXT_TO_IMAGE)]
        lines.append((key, *kinds, " ".join(trainer.splits), "yes" if trainer.coupled else ""))
    return [*align_columns(lines, left=(0, len(SHORT) + 1, len(SHORT) + 2)), LEGEND]


def descriptions(methods: Mapping[str, type[UnlearningTrainer]] = METHODS) -> list[str]:
    """Return a few lines for every method: what it does, its options with their defaults, and remarks."""
    lines = []
    for key, trainer in methods.items():
        lines.append(f"{key:<16}{summary(trainer)}")
        given = [
            f"--{name} {name.upper() if value is None else shlex.quote(str(value))}"
            for name, value in options(trainer).items()
        ]
        lines += [f"{'':<16}{words}" for words in (" ".join(given), "; ".join(remarks(trainer))) if words]
    return lines
