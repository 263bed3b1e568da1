"""The arguments of all addons, and which addons a run's arguments turn on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mubench.trainers.addons import ADDONS
from mubench.trainers.addons.addon import Addon
from mubench.trainers.addons.dual_optim import DualOptimArguments
from mubench.trainers.addons.munba import MunbaArguments
from mubench.trainers.addons.sam import SamArguments
from mubench.trainers.addons.sophia import SophiaArguments
from mubench.trainers.addons.superloss import SuperLossArguments

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
            if given and not addon.on(self):
                raise ValueError(f"expected {addon.switch} beside {', '.join(given)}, got none")
        splitting = [addon.switch for addon in enabled_addons(self) if addon.splits_gradients]
        if splitting and getattr(self, "fp16", False):
            raise ValueError(
                f"expected bf16 or fp32 with {', '.join(splitting)}, got fp16, whose gradients are scaled"
            )


DEFAULTS = {name: getattr(AddonArguments, name) for name in ADDON_ARGUMENTS}


def enabled_addons(args: Any) -> list[Addon]:
    """Return the addons that a run's arguments turn on."""
    return [addon for addon in ADDONS.values() if addon.on(args)]
