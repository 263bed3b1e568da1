"""`UnlearningArguments`: the arguments that every method takes."""

from __future__ import annotations

from dataclasses import dataclass, field

from transformers.training_args import OptimizerNames

from mubench.trainers.addons import sophia
from mubench.trainers.addons.addon_arguments import AddonArguments
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.unlearning.epoch_evaluation import EpochArguments


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
        """Refuse invalid addon and epoch arguments."""
        ours = self.optim == sophia.NAME
        self.optim = OptimizerNames.SGD if ours else self.optim  # transformers has no Sophia
        super().__post_init__()
        self.optim = sophia.NAME if ours else self.optim
        self.check_addons()
        self.check_keep()
