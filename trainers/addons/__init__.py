"""The table of wrappers: options that combine with every method, and with each other."""

from dataclasses import dataclass
from typing import Any

from mubench.trainers.addons.addon import Wrapper
from mubench.trainers.addons.dual_optim import DUAL_OPTIM, DualOptimArguments
from mubench.trainers.addons.munba import MUNBA, MunbaArguments
from mubench.trainers.addons.sam import SAM, SamArguments
from mubench.trainers.addons.sophia import SOPHIA, SophiaArguments
from mubench.trainers.addons.superloss import SUPERLOSS, SuperLossArguments

__all__ = ["WRAPPED", "WRAPPERS", "WrapperArguments", "wrappers_on"]

WRAPPERS: dict[str, Wrapper] = {
    "superloss": SUPERLOSS,
    "sophia": SOPHIA,
    "munba": MUNBA,
    "dual_optim": DUAL_OPTIM,
    "sam": SAM,
}
# Their arguments, which a run records where they are on.
WRAPPED = tuple(name for wrapper in WRAPPERS.values() for name in wrapper.arguments)


@dataclass
class WrapperArguments(SuperLossArguments, SophiaArguments, MunbaArguments, DualOptimArguments, SamArguments):
    """Arguments of all wrappers; by default none is on."""

    def check_wrappers(self) -> None:
        """Refuse arguments that are none, and those of a wrapper that is not on.

        Raises:
            ValueError: If there is one.
        """
        self.check_curriculum()
        self.check_sophia()
        self.check_harmonise()
        self.check_dual()
        self.check_sam()
        for wrapper in WRAPPERS.values():
            given = [name for name in wrapper.arguments if getattr(self, name) != DEFAULTS[name]]
            if given and not wrapper.on(self):
                raise ValueError(f"expected {wrapper.switch} beside {', '.join(given)}, got none")
        sides = [wrapper.switch for wrapper in wrappers_on(self) if wrapper.sides]
        if sides and getattr(self, "fp16", False):
            raise ValueError(f"expected bf16 or fp32 with {', '.join(sides)}, got fp16, whose gradients are scaled")


DEFAULTS = {name: getattr(WrapperArguments, name) for name in WRAPPED}


def wrappers_on(args: Any) -> list[Wrapper]:
    """Return the wrappers that a run's arguments turn on."""
    return [wrapper for wrapper in WRAPPERS.values() if wrapper.on(args)]
