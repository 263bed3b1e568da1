"""What the front door does with ``base``: flags in, a base model's folder out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mubench.hub_builders.tasks import get_task
from mubench.hub_builders.tasks.names import DATASET
from mubench.trainers.engine.distributed import STEP, is_main_process, set_up_process
from mubench.trainers.engine.lora import LORA
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.engine.unrecorded_arguments import UNRECORDED
from mubench.trainers.models.base_models import SPEED, train_base
from mubench.trainers.models.setting import load_setting
from mubench.trainers.runs.argument_parser import FlagParser, training_flags


@dataclass
class BaseArguments:
    """Which base model to train.

    Attributes:
        task: Task key.
        backbone: Backbone key; the task's first by default.
        base_seed: Seed of initialisation and data order.
        eval_seed: Seed of what a model is asked to draw.
        data: Dataset folder or Hub id.
        family: Deletion family.
        models: Folder of all models.
    """

    task: str = field(metadata={"help": "task key"})
    backbone: str | None = field(
        default=None,
        metadata={
            "help": "backbone key, see `python -m mubench.hub_builders backbones TASK`; default: the task's first"
        },
    )
    base_seed: int = field(default=0, metadata={"help": "seed of initialisation and data order"})
    eval_seed: int = field(default=0, metadata={"help": "seed of what a model is asked to draw"})
    data: str = field(default=DATASET, metadata={"help": "dataset folder or Hub id"})
    family: str = field(default="canonical", metadata={"help": "deletion family"})
    models: str = field(default="models", metadata={"help": "folder of all models"})


def base_parser() -> FlagParser:
    """Return the parser of ``base``."""
    both: Any = [BaseArguments, TaskArguments]
    parser = FlagParser(both, prog="python -m mubench.hub_builders base", allow_abbrev=False)
    parser.set_defaults(save_strategy="epoch")
    # What a recipe says is none of these, which is what they would show.
    parser.set_defaults(**dict.fromkeys(STEP))
    parser.show(
        {
            "where to run": BaseArguments.__dataclass_fields__,
            "training rows": ("augment",),
            "LoRA": LORA,
            "arguments of transformers.TrainingArguments that the recipe leaves open": (
                *STEP,
                *SPEED,
                *sorted(UNRECORDED - {"output_dir"}),
            ),
        }
    )
    return parser


def run_base(words: Sequence[str]) -> None:
    """Train a base model, or go on where a killed run left off."""
    set_up_process()
    given = base_parser().given(words)
    where = BaseArguments(**{name: given.pop(name) for name in BaseArguments.__dataclass_fields__ if name in given})
    backbone = where.backbone or get_task(where.task).default_backbone
    setting = load_setting(where.task, backbone, data=where.data, family=where.family, eval_seed=where.eval_seed)
    folder = train_base(setting, where.base_seed, models=Path(where.models), **training_flags(given))
    if is_main_process():
        print(folder)  # noqa: T201
