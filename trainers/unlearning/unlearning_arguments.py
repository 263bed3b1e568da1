"""`UnlearningArguments`: the arguments that every method takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

from transformers.training_args import OptimizerNames

from mubench.trainers.addons import ADDONS, sophia
from mubench.trainers.addons.addon import Addon
from mubench.trainers.addons.dual_optim import DualOptimArguments
from mubench.trainers.addons.munba import MunbaArguments
from mubench.trainers.addons.sam import SamArguments
from mubench.trainers.addons.sophia import SophiaArguments
from mubench.trainers.addons.superloss import SuperLossArguments
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.unlearning.value_ranges import Range

if TYPE_CHECKING:
    from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

Keep = Literal["last", "best", "oracle"]
ORACLE = "oracle"
# A run records those of the addons that are on.
ADDON_ARGUMENTS = tuple(name for addon in ADDONS.values() for name in addon.arguments)


@dataclass
class AddonArguments(SuperLossArguments, SophiaArguments, MunbaArguments, DualOptimArguments, SamArguments):
    """Arguments of all addons; by default none is on."""

    def check_addons(self) -> None:
        """Raise ``ValueError`` if an argument of an addon is out of range, or belongs to an addon that is off."""
        if all(getattr(self, name) == default for name, default in DEFAULTS.items()):
            return
        self.check_curriculum()
        self.check_sophia()
        self.check_harmonise()
        self.check_dual()
        self.check_sam()
        for addon in ADDONS.values():
            given = [name for name in addon.arguments if getattr(self, name) != DEFAULTS[name]]
            if given and not is_enabled(addon, self):
                raise ValueError(f"expected {addon.switch} beside {', '.join(given)}, got none")
        splitting = [addon.switch for addon in enabled_addons(self) if addon.splits_gradients]
        if splitting and getattr(self, "fp16", False):
            raise ValueError(
                f"expected bf16 or fp32 with {', '.join(splitting)}, got fp16, whose gradients are scaled"
            )


DEFAULTS = {name: getattr(AddonArguments, name) for name in ADDON_ARGUMENTS}


def is_enabled(addon: Addon, args: Any) -> bool:
    """Return whether a run's arguments turn an addon on."""
    if addon.optimizer is not None:
        return addon.optimizer in (args.optim, args.dual_optim)
    return getattr(args, addon.switch) is not None


def enabled_addons(args: Any) -> list[Addon]:
    """Return the addons that a run's arguments turn on."""
    return [addon for addon in ADDONS.values() if is_enabled(addon, args)]


@dataclass
class EpochArguments:
    """Arguments of evaluation after every epoch."""

    eval_each_epoch: bool = field(
        default=False, metadata={"help": "Print the scores on forget, retain and validation rows after every epoch."}
    )
    keep: Keep = field(
        default="last",
        metadata={
            "help": "Epoch whose weights are kept: last, best by forget, retain and validation rows, or oracle: the "
            "nearest to the retrained models, which ranks apart."
        },
    )

    @property
    def evaluates_epochs(self) -> bool:
        """Whether a run evaluates its model after every epoch."""
        return self.eval_each_epoch or self.keep != "last"

    def check_keep(self) -> None:
        """Raise ``ValueError`` if ``keep`` has an unknown value."""
        if self.keep not in get_args(Keep):
            raise ValueError(f"keep must be one of {', '.join(get_args(Keep))}, got {self.keep!r}")


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


def check_epochs(trainer: type[UnlearningTrainer], args: EpochArguments) -> None:
    """Raise ``ValueError`` if a method's result is no epoch's model, or if the chosen epoch may not be its result."""
    if not args.evaluates_epochs:
        return
    expected = "keep last" if args.keep != "last" else "no eval_each_epoch"
    if trainer.changes_once():
        why = "changes the weights once more, or only then, outside its epochs"
        got = f"keep {args.keep}" if args.keep != "last" else "it"
        raise ValueError(f"expected {expected} for {trainer.__name__}, which {why}; got {got}")
    if trainer.from_scratch and args.keep != "last":
        raise ValueError(
            f"expected keep last for {trainer.__name__}, which is the recipe to its end; got keep {args.keep}"
        )
