"""`TaskArguments`: the arguments that all training shares, and those that no run records."""

from __future__ import annotations

import importlib.util
import inspect
import math
import numbers
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, get_args, get_type_hints

import torch
from transformers import TrainingArguments

from mubench.hub_builders.utils.optional import EXTRAS, check_package
from mubench.hub_builders.utils.text import quote
from mubench.trainers.engine.distributed import world_size

LIMIT = 1e18  # of any number among the arguments
# Precision and compilation, which a recipe leaves open.
SPEED = ("bf16", "fp16", "torch_compile")
# Arguments that change how a run proceeds, not its result.
UNRECORDED = frozenset({
    "save_strategy", "save_steps", "save_total_limit", "save_only_model", "logging_strategy", "logging_steps",
    "logging_first_step", "log_level", "log_level_replica", "report_to", "run_name", "project", "disable_tqdm",
    "dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers", "dataloader_prefetch_factor",
    "use_cpu", "output_dir", "skip_memory_metrics", "torch_empty_cache_steps", "remember", "ddp_backend",
    "ddp_timeout", "ddp_find_unused_parameters", "per_device_eval_batch_size", "eval_each_epoch",
    "gradient_checkpointing",
})  # fmt: skip
# Arguments of transformers that a model's card states.
STATED = (
    "seed", "learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size",
    "gradient_accumulation_steps", "optim", "optim_args", "lr_scheduler_type", "warmup_steps", "weight_decay",
    "max_grad_norm", "bf16", "fp16",
)  # fmt: skip


@dataclass
class LoraArguments:
    """Arguments of LoRA; without a rank every weight is trained."""

    lora_rank: int | None = field(
        default=None, metadata={"help": "Train adapters of this rank (r) beside frozen weights, and the head."}
    )
    lora_alpha: float = field(default=16.0, metadata={"help": "Scale of the adapters: alpha / r times their output."})
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout of what the adapters see."})
    lora_targets: list[str] | None = field(
        default=None,
        metadata={"help": "Layers to adapt, by the end of their names; default: every linear one, else convolutions."},
    )

    def check_lora(self) -> None:
        """Raise ``ValueError`` if rank or dropout are invalid, or other arguments are given without a rank."""
        if self.lora_rank is not None and self.lora_rank < 1:
            raise ValueError(f"lora_rank must be 1 or more, got {self.lora_rank}")
        self.lora_alpha = float(self.lora_alpha)
        given = [name for name in LORA if getattr(self, name) != LoraArguments.__dataclass_fields__[name].default]
        if self.lora_rank is None and given:
            raise ValueError(f"expected lora_rank beside {', '.join(given)}, got none")
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"lora_dropout must lie in [0, 1), got {self.lora_dropout}")


LORA = tuple(LoraArguments.__dataclass_fields__)


@dataclass
class SizeArguments:
    """Arguments by which large models fit: how the weights that a run starts from are loaded."""

    dtype: str = field(
        default="float32",
        metadata={"help": "Type of the weights, teachers' too: float32 or bfloat16. Beside it, bf16 is autocast."},
    )
    attn_implementation: str | None = field(
        default=None, metadata={"help": "Kernel of attention, such as eager, sdpa or flash_attention_2."}
    )
    load_in_4bit: bool = field(
        default=False, metadata={"help": "Load linear layers in 4 bits (QLoRA): takes lora_rank and bitsandbytes."}
    )

    def size_options(self) -> dict[str, Any]:
        """Return those of these arguments that differ from their defaults."""
        values = {name: getattr(self, name) for name in SIZE}
        return {name: value for name, value in values.items() if value != getattr(SizeArguments, name)}

    def check_size(self, lora_rank: int | None) -> None:
        """Refuse unknown types of weights, and 4 bits without adapters or the package that holds them.

        Raises:
            ValueError: If an argument is invalid.
            FileNotFoundError: If the package is not installed.
        """
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}")
        if self.load_in_4bit and lora_rank is None:
            raise ValueError("expected lora_rank beside load_in_4bit, since 4 bits cannot be trained; got none")
        if self.load_in_4bit:
            check_bitsandbytes("hold weights in 4 bits")


SIZE = tuple(SizeArguments.__dataclass_fields__)
DTYPES = ("float32", "bfloat16")
_BITSANDBYTES = ("paged_", "lion_", "ademamix", "rmsprop_bnb", "adamw_bnb", "adamw_8bit")


def check_optimizer(optim: str) -> None:
    """Check that the package of an optimizer with 8-bit or paged states is installed.

    Raises:
        FileNotFoundError: If it is not.
    """
    if optim.startswith(_BITSANDBYTES):
        check_bitsandbytes(f"train with optim {optim}")


def check_bitsandbytes(purpose: str) -> None:
    """Raise ``FileNotFoundError`` if the package bitsandbytes is not installed."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise FileNotFoundError(f"expected the package bitsandbytes to {purpose}, got none: pip install bitsandbytes")


@dataclass
class TaskArguments(LoraArguments, SizeArguments, TrainingArguments):
    """`transformers.TrainingArguments` with defaults that fit custom losses.

    Changed defaults: no column removal (batches carry more than the model's inputs), no NaN filter in the logs (it
    hides diverged runs), and at most two checkpoints kept.
    """

    remove_unused_columns: bool = field(default=False, metadata={"help": "Kept off: batches carry extra columns."})
    logging_nan_inf_filter: bool = field(default=False, metadata={"help": "Kept off: it would hide a diverged run."})
    label_names: list[str] | None = field(
        default_factory=lambda: ["labels"], metadata={"help": "Columns that are labels, whatever forward() names."}
    )
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints kept."})
    augment: bool = field(
        default=False,
        metadata={"help": "Augment training rows: images are shifted and mirrored, recordings shifted."},
    )

    def __post_init__(self) -> None:
        """Refuse arguments under which losses would silently mean something else."""
        if (world_size() > 1 or self.bf16) and not torch.cuda.is_available():
            self.use_cpu = True  # otherwise every process would train by itself, and bf16 would be refused
        self.check_whole_weights()
        self.check_length()
        self.check_numbers()
        super().__post_init__()
        check_trackers(list(self.report_to or ()))
        self.check_lora()
        self.check_size(self.lora_rank)
        check_optimizer(str(getattr(self.optim, "value", self.optim)))
        if self.label_smoothing_factor:
            raise ValueError(f"label_smoothing_factor must be 0 here, got {self.label_smoothing_factor}")
        if (precision := "fp16" if self.fp16 else "bf16" if self.bf16 else "no") != self.mixed_precision:
            raise ValueError(
                f"expected the precision as an argument of the run (bf16, fp16), where it is recorded; got a launcher "
                f"with {self.mixed_precision} and arguments with {precision}"
            )
        if self.remove_unused_columns or self.logging_nan_inf_filter:
            raise ValueError("remove_unused_columns and logging_nan_inf_filter must be off, got one that is on")

    def check_whole_weights(self) -> None:
        """Refuse sharded weights: no test shows that methods, which read and edit whole ones, give the same row."""
        if self.fsdp or os.environ.get("ACCELERATE_USE_FSDP", "false").lower() in ("1", "true", "yes"):
            raise ValueError(
                "expected whole weights in every process (torchrun, or accelerate launch --multi_gpu), got FSDP; to "
                "make a model fit: --lora_rank, --dtype bfloat16, --gradient_checkpointing true, --load_in_4bit true"
            )

    def check_length(self) -> None:
        """Refuse runs that are endless, or have no step or no row."""
        for name in ("num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be more than 0 and finite, got {getattr(self, name)}")
        if self.max_steps == 0:
            raise ValueError("max_steps must be more than 0, or -1 for whole epochs, got 0")

    def check_numbers(self) -> None:
        """Refuse numbers that are not finite, or that no counter holds."""
        for name, value in vars(self).items():
            if isinstance(value, int | float) and not abs(value) < LIMIT:
                raise ValueError(f"{name} must be a finite number of at most 18 digits, got {quote(value)}")


def check_arguments(given: Iterable[str], recorded: Collection[str] = ()) -> None:
    """Refuse arguments that could change a result without being recorded beside it, by their names.

    Raises:
        ValueError: If one is neither recorded, as part of the run's identity, nor in `UNRECORDED`.
    """
    unknown = sorted(set(given) - UNRECORDED - set(recorded))
    if unknown:
        raise ValueError(f"expected arguments that a run records or that change no result, got {', '.join(unknown)}")


def check_number_types(arguments: type, given: Mapping[str, Any]) -> None:
    """Refuse arguments that are no numbers where their fields are.

    Args:
        arguments: The dataclass of the arguments.
        given: Values by name.

    Raises:
        ValueError: If a value is text, true or false, or has a fraction where a whole number belongs.
    """
    for name, value in given.items():
        kinds = _kinds(arguments).get(name, frozenset())
        if not kinds & {int, float} or kinds - {int, float, type(None)}:
            continue
        wanted = numbers.Real if float in kinds else numbers.Integral
        is_number = isinstance(value, wanted) and not isinstance(value, bool)
        if is_number or (value is None and type(None) in kinds):
            continue
        expected = "a number" if float in kinds else "a whole number"
        hint = _hint_on_text(value, float if float in kinds else int)
        raise ValueError(f"expected {name} to be {expected}, got {quote(value)}{hint}")


@cache
def _kinds(arguments: type) -> Mapping[str, frozenset[type]]:
    """Return the types that each field of a dataclass may have."""
    hints = get_type_hints(arguments)
    return {one.name: frozenset(get_args(hints[one.name]) or (hints[one.name],)) for one in fields(arguments)}


def _hint_on_text(value: object, kind: type[float]) -> str:
    """Return a hint at the number that a string stands for; YAML reads 1e-3 as a string. Empty if it is no number."""
    try:
        number = kind(value) if isinstance(value, str) else math.nan
        finite = math.isfinite(number)
    except (ValueError, OverflowError):
        return ""
    return f", a string; as a number it is {number!r}" if finite else ""


def check_trackers(names: Collection[str]) -> None:
    """Check that everything that a run reports to can be used here.

    Args:
        names: Names as in ``report_to``.

    Raises:
        ValueError: If transformers does not know one, or it is not installed and set up.
        FileNotFoundError: If the package of one is not installed.
    """
    if not names:
        return
    from transformers.integrations import integration_utils  # noqa: PLC0415  (imports what is installed)

    known, usable = integration_utils.INTEGRATION_TO_CALLBACK, integration_utils.get_available_reporting_integrations()
    for name in names:
        if name not in known:
            raise ValueError(f"expected report_to of {', '.join(known)}, got {quote(name)}")
        if name in usable:
            continue
        if name in EXTRAS:
            check_package(name)
        if name == "wandb":
            raise FileNotFoundError("expected the package wandb to report to wandb, got none: pip install wandb")
        raise ValueError(f"expected report_to of what is installed ({', '.join(usable) or 'nothing'}), got {name}")


def stated_settings(args: TrainingArguments) -> dict[str, Any]:
    """Return the arguments that a model's card states: of training, of the class itself, and others that are set."""
    own = inspect.get_annotations(type(args))
    more = [
        one.name
        for one in fields(args)
        if one.name not in TrainingArguments.__dataclass_fields__ and one.name not in UNRECORDED
        if one.name in own or getattr(args, one.name) != one.default
    ]
    values = {name: getattr(args, name) for name in (*STATED, *more)}
    return {name: getattr(value, "value", value) for name, value in values.items() if value not in (None, False)}
