"""The table of addons: options that combine with every method, and with each other.

Reading a row imports its file; listing the keys imports nothing. May import `engine` and what lies before it.
"""

from __future__ import annotations

from mubench.hub_builders.utils.registry import Registry
from mubench.trainers.addons.addon import Addon

ADDONS: Registry[Addon] = Registry({
    "superloss": "SUPERLOSS",
    "sophia": "SOPHIA",
    "munba": "MUNBA",
    "dual_optim": "DUAL_OPTIM",
    "sam": "SAM",
}, package=__name__)  # fmt: skip
