"""`UnlearningArguments`: the arguments that every method takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_type_hints

from transformers.training_args import OptimizerNames

from mubench.trainers.addons import sophia
from mubench.trainers.addons.addon_arguments import AddonArguments
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.unlearning.epoch_evaluation import EpochArguments
from mubench.trainers.unlearning.value_ranges import Range


@dataclass
class UnlearningArguments(AddonArguments, EpochArguments, TaskArguments):
    """Arguments every method takes; a method's own dataclass adds its hyper-parameters."""

    # A plain string: with transformers' own type the command line would accept its own optimizers only.
    optim: str = field(
        default=str(TaskArguments.optim), metadata={"help": "Optimizer: one of transformers, or sophia."}
    )
    remember: bool = field(
        default=True,
        metadata={
            "help": "Run frozen teachers on a row once and cache the outputs; turn off if the collator is random."
        },
    )

    def __post_init__(self) -> None:
        """Refuse invalid addon and epoch arguments, and values outside the ranges of a method's own."""
        ours = self.optim == sophia.NAME
        self.optim = OptimizerNames.SGD if ours else self.optim  # transformers has no Sophia
        super().__post_init__()
        self.optim = sophia.NAME if ours else self.optim
        self.check_addons()
        self.check_keep()
        self.check_ranges()

    def check_ranges(self) -> None:
        """Raise ``ValueError`` if an argument is outside the range, or none of the choices, that its type names."""
        for name, kind in get_type_hints(type(self), include_extras=True).items():
            for accepted in getattr(kind, "__metadata__", ()):
                value = getattr(self, name)
                is_range = isinstance(accepted, Range)
                if not (accepted.low <= value <= accepted.high if is_range else value in accepted):
                    expected = accepted.text if is_range else f"one of {', '.join(accepted)}"
                    raise ValueError(f"{name} must be {expected}, got {value!r}")
