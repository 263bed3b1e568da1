"""Methods and addons as their source files declare them, read without torch, and which methods are made for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mubench.hub_builders.hub.model_folder import read_runs
from mubench.hub_builders.tasks import Kind
from mubench.hub_builders.tasks.own_backbones import is_of_any_family
from mubench.hub_builders.utils import hints
from mubench.hub_builders.utils.cli import did_you_mean
from mubench.hub_builders.utils.registry import StaticClass, read_module
from mubench.hub_builders.utils.tables import align_columns
from mubench.trainers.addons import ADDONS
from mubench.trainers.addons.addon import Addon
from mubench.trainers.engine.paper import Paper
from mubench.trainers.methods import METHODS

if TYPE_CHECKING:
    from mubench.trainers.models.setting import Setting
    from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

# A column each, in the order of the table.
SHORT: dict[Kind, str] = {
    "image_classification": "image", "text_classification": "text", "image_pair_classification": "pair",
    "audio_classification": "audio", "video_classification": "video", "summarization": "summary",
    "text_generation": "answer", "text_to_image": "drawing",
}  # fmt: skip
METHOD_FILE = "file of methods of your own, my_method.py or package.module:Class; its code is run"
NATIVE, ADAPTED, UNDEFINED = "+", "o", "-"
LEGEND = f"{NATIVE} native, {ADAPTED} carried over by an adapter, {UNDEFINED} undefined"
# Fields of `TrainingArguments` that a run does record.
RECORDED_TRAINING = (
    "learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps",
    "warmup_steps", "weight_decay", "optim", "lr_scheduler_type", "max_grad_norm", "adam_beta1", "adam_beta2",
    "adam_epsilon", "data_seed", "bf16", "fp16", "torch_compile",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of the method table: what a trainer declares, documented in `UnlearningTrainer`.

    Attributes:
        summary: First line of the trainer's docstring.
        edits: Whether weights are edited once in place of training.
        options: Defaults of its own arguments, by name; not those of `TrainingArguments` that it changes.
        paper: Its paper; ``None`` for a custom method that names none.
    """

    summary: str
    paper: Paper | None
    kinds: tuple[Kind, ...]
    adapted_kinds: tuple[Kind, ...]
    families: tuple[str, ...] | None
    like: str | None
    splits: tuple[str, ...]
    coupled: bool
    from_scratch: bool
    is_control: bool
    per_weight: bool
    needs_prompts: bool
    whole_classes: bool
    needs_validation: bool
    edits: bool
    options: Mapping[str, Any]

    def takes(self, kind: Kind, backbone: str | None = None) -> bool:
        """Whether it is made for a kind of task, on a backbone if one is named."""
        if self.families is None or backbone is None:
            return kind in self.kinds
        return kind in self.kinds and is_of_any_family(backbone, self.families)

    @property
    def takes_lora(self) -> bool:
        """Whether adapters may be trained in place of all weights."""
        return not (self.per_weight or self.edits)

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
            "needs prompts": self.needs_prompts,
            "forgets whole classes only": self.whole_classes,
            "reads validation rows": self.needs_validation,
            f"on {', '.join(self.families or ())} only": self.families,
        }
        return [remark for remark, holds in remarks.items() if holds]


@dataclass(frozen=True)
class CustomMethod:
    """A custom method.

    Attributes:
        trainer: Its class.
        sha256: SHA-256 of the file that defines it, by which runs of several versions are told apart.
    """

    trainer: type[UnlearningTrainer]
    sha256: str


# Custom methods by key, where an option names their file; `method_files` fills it.
CUSTOM: dict[str, CustomMethod] = {}
# Class attributes that a method declares, and that its row in the table repeats.
DECLARED = tuple(one.name for one in fields(Method) if one.name not in ("summary", "edits", "options"))


def _read_trainer(key: str) -> StaticClass:
    trainer: StaticClass = read_module(f"{METHODS.package}.{key}")[METHODS.names[key]]
    return trainer


def read_arguments(key: str, base: type) -> type:
    """Return the dataclass of a method's arguments: read from its source below ``base``, or a custom one's."""
    if key in CUSTOM:
        return CUSTOM[key].trainer.arguments
    return _declared_arguments(key, base)


@cache
def _declared_arguments(key: str, base: type) -> type:
    arguments: type = _read_trainer(key).attribute("arguments").dataclass(base)
    return arguments


def _read_method(key: str) -> Method:
    trainer = _read_trainer(key)
    own = trainer.attribute("arguments").fields(below="UnlearningArguments")
    return Method(
        summary=trainer.doc.partition("\n")[0].replace("`", ""),
        edits=trainer.defines("edit", below="UnlearningTrainer"),
        options={
            name: value.default if isinstance(value, Field) else value
            for name, (_, value) in own.items()
            if name not in RECORDED_TRAINING
        },
        **{name: trainer.attribute(name) for name in DECLARED},
    )


def _describe_custom(trainer: type[UnlearningTrainer]) -> Method:
    from mubench.trainers.unlearning.unlearning_arguments import UnlearningArguments  # noqa: PLC0415  (seconds)

    known = {field.name for field in fields(UnlearningArguments)}
    own = [field for field in fields(trainer.arguments) if field.name not in known]
    declared: dict[str, Any] = {name: getattr(trainer, name, None) for name in DECLARED}  # perhaps no paper
    return Method(
        summary=(trainer.__dict__.get("__doc__") or "").strip().partition("\n")[0].replace("`", ""),
        edits=trainer.edits(),
        options={
            field.name: field.default if field.default_factory is MISSING else field.default_factory() for field in own
        },
        **declared,
    )


@cache
def suite_table() -> Mapping[str, Method]:
    """Return what every method of the suite declares, in the order of ``METHODS``."""
    return {key: _read_method(key) for key in METHODS}


def method_table() -> Mapping[str, Method]:
    """Return what every method declares, in the order of ``METHODS``, and after them the custom ones."""
    return {**suite_table(), **{key: _describe_custom(one.trainer) for key, one in CUSTOM.items()}}


@cache
def addon_table() -> Mapping[str, Addon]:
    """Return what every addon declares, in the order of ``ADDONS``; see `enabled_addons` for those of a run."""
    return {key: read_module(f"{ADDONS.package}.{key}")[name] for key, name in ADDONS.names.items()}


def known_methods() -> tuple[str, ...]:
    """Return the keys of the methods of the suite, and after them those of the custom ones."""
    return (*METHODS, *CUSTOM)


def check_known(key: str) -> None:
    """Check that there is a method of this name, without importing it.

    Raises:
        ValueError: If there is none; the message names those there are.
    """
    if key not in (known := known_methods()):
        raise ValueError(f"method must be one of {', '.join(known)}, got {key!r}{did_you_mean(key, known)}")


def check_recorded(key: str, models: str | Path) -> None:
    """Check that a method is known, or is that of a run in a folder of models, where its code is not needed.

    Raises:
        ValueError: If it is neither; the message names the methods there are.
    """
    if key not in known_methods() and key not in {run.method for run in read_runs(Path(models)).values()}:
        check_known(key)


def get_method(key: str) -> type[UnlearningTrainer]:
    """Return a method's trainer.

    Raises:
        ValueError: If there is no such method; the message names those there are.
    """
    check_known(key)
    return CUSTOM[key].trainer if key in CUSTOM else METHODS[key]


def methods_for(kind: Kind, backbone: str | None = None, *, prefix_free: bool = False) -> list[str]:
    """Return the methods that are made for a kind of task, on a backbone if one is named.

    Those that need prompts are left out where texts have none (``prefix_free``).
    """
    made_for = {key: method for key, method in method_table().items() if method.takes(kind, backbone)}
    return [key for key, method in made_for.items() if not (prefix_free and method.needs_prompts)]


def check_method(key: str, kind: Kind, backbone: str | None = None) -> None:
    """Check that a method is made for a kind of task, on a backbone if one is named.

    Raises:
        ValueError: If it is not, or there is none; the message names those there are.
    """
    check_known(key)
    method = method_table()[key]
    if not method.takes(kind, backbone):
        where = kind if kind not in method.kinds else f"{kind} on {backbone}"
        made_for = "" if kind in method.kinds else f", made for {', '.join(method.kinds)}"
        known = ", ".join(methods_for(kind, backbone))
        raise ValueError(f"method for {where} must be one of {known}, got {key!r}{made_for}")


def forgets_whole_classes(setting: Setting, ratio: int) -> bool:
    """Whether no row of the retain set has a label that occurs in the forget set."""
    train = setting.rows["train"].data
    if "label" not in train.column_names:
        return False
    forgotten = setting.forget_mask(ratio)
    labels = train.column("label").to_numpy()
    return not set(labels[forgotten].tolist()) & set(labels[~forgotten].tolist())


def check_request(key: str, setting: Setting, ratio: int) -> None:
    """Check that a method is made for a task, a backbone and a forget set.

    Raises:
        ValueError: If it is not; the message names the methods that are.
    """
    check_method(key, setting.task.kind, setting.backbone)
    if method_table()[key].needs_prompts and setting.task.prefix_free:
        raise ValueError(
            f"method for texts without prompts must be one of {', '.join(methods_on(setting, ratio))}, got {key!r}: "
            "it trains other answers to prompts"
        )
    if method_table()[key].whole_classes and not forgets_whole_classes(setting, ratio):
        raise ValueError(
            f"method for rows of classes that stay must be one of {', '.join(methods_on(setting, ratio))}, "
            f"got {key!r}: it forgets whole classes"
        )


def methods_on(setting: Setting, ratio: int) -> list[str]:
    """Return the methods that are made for a task, a backbone and a forget set."""
    task, whole = setting.task, forgets_whole_classes(setting, ratio)
    keys = methods_for(task.kind, setting.backbone, prefix_free=task.prefix_free)
    return [key for key in keys if whole or not method_table()[key].whole_classes]


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
        options = {name: name.upper() if value is None else str(value) for name, value in method.options.items()}
        shown = (hints.extend("", **options).strip(), "; ".join(method.remarks))
        lines += [f"{'':<16}{line}" for line in shown if line]
    return lines
