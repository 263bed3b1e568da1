"""The tables of methods and addons as their source files declare them: listing them imports neither them nor torch."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import Field, dataclass
from functools import cache
from typing import Any

from mubench.hub_builders.tasks import BACKBONES, Kind
from mubench.hub_builders.utils.declarations import StaticClass, read_module
from mubench.hub_builders.utils.tables import align_columns
from mubench.trainers.addons import ADDONS
from mubench.trainers.addons.addon import Addon
from mubench.trainers.engine.paper import Paper
from mubench.trainers.methods import METHODS

# A column each, in the order of the table.
SHORT: dict[Kind, str] = {
    "image_classification": "image", "text_classification": "text", "image_pair_classification": "pair",
    "audio_classification": "audio", "video_classification": "video", "summarization": "summary",
    "text_generation": "answer", "text_to_image": "drawing",
}  # fmt: skip
NATIVE, ADAPTED, UNDEFINED = "+", "o", "-"
LEGEND = f"{NATIVE} native, {ADAPTED} carried over by an adapter, {UNDEFINED} undefined"
# Fields of `TrainingArguments` that a run does record.
RECORDED_TRAINING = (
    "learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps",
    "warmup_steps", "weight_decay", "optim", "lr_scheduler_type", "max_grad_norm", "adam_beta1", "adam_beta2",
    "adam_epsilon", "data_seed", "bf16", "fp16", "torch_compile",
)  # fmt: skip
# Class attributes that a method declares, and that its row in the table repeats.
DECLARED = (
    "paper", "kinds", "adapted_kinds", "families", "splits", "coupled", "from_scratch", "is_control", "per_weight",
    "whole_classes", "needs_validation",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of the method table; its attributes are documented in `UnlearningTrainer`.

    Attributes:
        summary: First line of the trainer's docstring.
        paper: Where it comes from.
        kinds: Kinds of task that it is defined for.
        adapted_kinds: Those of them that its paper is not about.
        families: Backbone families that it is made for; ``None`` is all.
        splits: Splits that it trains on.
        coupled: Whether the loss of a row depends on other rows.
        from_scratch: Whether it starts from a fresh model.
        is_control: Whether it is never ranked.
        per_weight: Whether it works on weights or blocks themselves.
        whole_classes: Whether it forgets whole classes only.
        needs_validation: Whether it reads validation rows.
        edits: Whether weights are edited once in place of training.
        options: Defaults of its own arguments, by name; not those of `TrainingArguments` that it changes.
    """

    summary: str
    paper: Paper
    kinds: tuple[Kind, ...]
    adapted_kinds: tuple[Kind, ...]
    families: tuple[str, ...] | None
    splits: tuple[str, ...]
    coupled: bool
    from_scratch: bool
    is_control: bool
    per_weight: bool
    whole_classes: bool
    needs_validation: bool
    edits: bool
    options: Mapping[str, Any]

    def takes(self, kind: Kind, backbone: str | None = None) -> bool:
        """Whether it is made for a kind of task, on a backbone if one is named."""
        if kind not in self.kinds:
            return False
        if self.families is None or backbone is None:
            return True
        return BACKBONES[backbone].family.removeprefix("mini-") in self.families

    def applies(self, kind: Kind) -> str:
        """Return whether it is native to a kind of task, carried over to it, or undefined there."""
        if kind not in self.kinds:
            return UNDEFINED
        return ADAPTED if kind in self.adapted_kinds else NATIVE

    @property
    def remarks(self) -> list[str]:
        """What else narrows a choice."""
        remarks: Mapping[str, object] = {
            "its rows interact (coupled)": self.coupled,
            "edits the weights once": self.edits,
            "starts from a fresh model": self.from_scratch,
            "a control, never ranked": self.is_control,
            "takes no LoRA": self.per_weight,
            "forgets whole classes only": self.whole_classes,
            "reads validation rows": self.needs_validation,
            f"on {', '.join(self.families or ())} only": self.families,
        }
        return [remark for remark, holds in remarks.items() if holds]


def _read_trainer(key: str) -> StaticClass:
    trainer: StaticClass = read_module(f"{METHODS.package}.{key}")[METHODS.names[key]]
    return trainer


def read_arguments(key: str) -> StaticClass:
    """Return the dataclass of a method's arguments as its source declares it."""
    arguments: StaticClass = _read_trainer(key).attribute("arguments")
    return arguments


def _read_method(key: str) -> Method:
    trainer = _read_trainer(key)
    fields = read_arguments(key).fields(below="UnlearningArguments")
    return Method(
        summary=trainer.doc.partition("\n")[0].replace("`", ""),
        edits=trainer.defines("edit", below="UnlearningTrainer"),
        options={
            name: value.default if isinstance(value, Field) else value
            for name, (_, value) in fields.items()
            if name not in RECORDED_TRAINING
        },
        **{name: trainer.attribute(name) for name in DECLARED},
    )


@cache
def method_table() -> Mapping[str, Method]:
    """Return what every method declares, in the order of ``METHODS``."""
    return {key: _read_method(key) for key in METHODS}


@cache
def addon_table() -> Mapping[str, Addon]:
    """Return what every addon declares, in the order of ``ADDONS``; whether one is on is for `enabled_addons`."""
    return {key: read_module(f"{ADDONS.package}.{key}")[name] for key, name in ADDONS.names.items()}


def table() -> list[str]:
    """Return the lines of a table: a method each, its kinds of task, the rows it trains on, whether it is coupled."""
    lines = [("method", *SHORT.values(), "rows", "coupled")]
    for key, method in method_table().items():
        kinds = [method.applies(kind) for kind in SHORT]
        lines.append((key, *kinds, " ".join(method.splits), "yes" if method.coupled else ""))
    return [*align_columns(lines, left=(0, len(SHORT) + 1, len(SHORT) + 2)), LEGEND]


def descriptions() -> list[str]:
    """Return a few lines for every method: what it does, its options with their defaults, and remarks."""
    lines = []
    for key, method in method_table().items():
        lines.append(f"{key:<16}{method.summary}")
        options = [
            f"--{name} {name.upper() if value is None else shlex.quote(str(value))}"
            for name, value in method.options.items()
        ]
        lines += [f"{'':<16}{line}" for line in (" ".join(options), "; ".join(method.remarks)) if line]
    return lines
