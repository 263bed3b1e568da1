"""`TaskArguments`: the training arguments that all training shares."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from transformers import TrainingArguments

from mubench.trainers.engine.distributed import world_size
from mubench.trainers.engine.lora import LoraArguments

# Precision and compilation, which a recipe leaves open.
SPEED = ("bf16", "fp16", "torch_compile")


@dataclass
class TaskArguments(LoraArguments, TrainingArguments):
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
        if world_size() > 1 and not torch.cuda.is_available():
            self.use_cpu = True  # otherwise every process would train by itself
        super().__post_init__()
        self.check_lora()
        self.check_length()
        if self.label_smoothing_factor:
            raise ValueError(f"label_smoothing_factor must be 0 here, got {self.label_smoothing_factor}")
        if (precision := "fp16" if self.fp16 else "bf16" if self.bf16 else "no") != self.mixed_precision:
            raise ValueError(
                f"expected the precision as an argument of the run (bf16, fp16), where it is recorded; got a launcher "
                f"with {self.mixed_precision} and arguments with {precision}"
            )
        if self.remove_unused_columns or self.logging_nan_inf_filter:
            raise ValueError("remove_unused_columns and logging_nan_inf_filter must be off, got one that is on")

    def check_length(self) -> None:
        """Refuse runs that are endless, or have no step or no row."""
        for name in ("num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be more than 0 and finite, got {getattr(self, name)}")
        if self.max_steps == 0:
            raise ValueError("max_steps must be more than 0, or -1 for whole epochs, got 0")
