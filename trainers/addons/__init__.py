"""The table of addons: options that combine with every method, and with each other."""

from dataclasses import dataclass
from typing import Any

from mubench.trainers.addons.addon import Addon
from mubench.trainers.addons.dual_optim import DUAL_OPTIM, DualOptimArguments
from mubench.trainers.addons.munba import MUNBA, MunbaArguments
from mubench.trainers.addons.sam import SAM, SamArguments
from mubench.trainers.addons.sophia import SOPHIA, SophiaArguments
from mubench.trainers.addons.superloss import SUPERLOSS, SuperLossArguments

__all__ = ["ADDONS", "ADDON_ARGUMENTS", "AddonArguments", "enabled_addons"]

ADDONS: dict[str, Addon] = {
    "superloss": SUPERLOSS,
    "sophia": SOPHIA,
    "munba": MUNBA,
    "dual_optim": DUAL_OPTIM,
    "sam": SAM,
}
# Their arguments, which a run records where they are on.
ADDON_ARGUMENTS = tuple(name for addon in ADDONS.values() for name in addon.arguments)


@dataclass
class AddonArguments(SuperLossArguments, SophiaArguments, MunbaArguments, DualOptimArguments, SamArguments):
    """Arguments of all addons; by default none is on."""

    def check_addons(self) -> None:
        """Refuse arguments that are none, and those of a addon that is not on.

        Raises:
            ValueError: If there is one.
        """
        self.check_curriculum()
        self.check_sophia()
        self.check_harmonise()
        self.check_dual()
        self.check_sam()
        for addon in ADDONS.values():
            given = [name for name in addon.arguments if getattr(self, name) != DEFAULTS[name]]
            if given and not addon.on(self):
                raise ValueError(f"expected {addon.switch} beside {', '.join(given)}, got none")
        sides = [addon.switch for addon in enabled_addons(self) if addon.splits_gradients]
        if sides and getattr(self, "fp16", False):
            raise ValueError(f"expected bf16 or fp32 with {', '.join(sides)}, got fp16, whose gradients are scaled")


DEFAULTS = {name: getattr(AddonArguments, name) for name in ADDON_ARGUMENTS}


def enabled_addons(args: Any) -> list[Addon]:
    """Return the addons that a run's arguments turn on."""
    return [addon for addon in ADDONS.values() if addon.on(args)]
