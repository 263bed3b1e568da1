"""`ResumableTrainer`: writes checkpoints that a killed run resumes from exactly, and reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainingArguments

from mubench.trainers.engine.checkpointing import mark_complete, names_in_memory
from mubench.trainers.engine.costs import CostedTrainer
from mubench.trainers.engine.lora import unwrap
from mubench.trainers.engine.losses import check_finite
from mubench.trainers.engine.task_arguments import TaskArguments

# Of a checkpoint under LoRA: what is no parameter.
BUFFERS = "buffers.safetensors"


class _Marks(TrainerCallback):
    """Marks finished checkpoints."""

    def __init__(self, trainer: ResumableTrainer) -> None:
        self.trainer = trainer

    def on_save(self, args: TrainingArguments, state: Any, *_: Any, **__: Any) -> None:
        spent = self.trainer.spent()  # asks all processes, so that the mark comes after what each of them writes
        if state.is_world_process_zero:
            folder = Path(args.output_dir or ".", f"checkpoint-{state.global_step}")
            self.trainer.keep(folder)
            mark_complete(folder, spent)


class ResumableTrainer(CostedTrainer):
    """Cures what `transformers.Trainer` does not restore, and marks a checkpoint when all of it is written.

    Parameters keep the names that they have in memory, and the statistics of BatchNorm lie beside adapters, which hold
    none. Weights that are not finite are never saved. A subclass may override `keep`.
    """

    model: torch.nn.Module

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_callback(_Marks(self))

    @property
    def adapts(self) -> bool:
        """Whether adapters are trained in place of weights."""
        return isinstance(self.args, TaskArguments) and self.args.lora_rank is not None

    def keep(self, checkpoint: Path) -> None:
        """Write what else a resumed run needs into a checkpoint."""

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        check_finite(self.model)
        with names_in_memory(self.accelerator.unwrap_model(self.model)):
            super()._save(output_dir, state_dict)
        if self.adapts and self.args.should_save:  # a checkpoint of adapters holds no statistics of BatchNorm
            save_file(dict(unwrap(self.model).named_buffers()), Path(output_dir or ".", BUFFERS))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self.adapts:
            kept = load_file(Path(resume_from_checkpoint, BUFFERS))
            for name, buffer in unwrap(self.model).named_buffers():
                buffer.copy_(kept[name])
