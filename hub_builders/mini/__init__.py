"""The offline tier: rows with the original columns, mostly generated from a seed. Imports `utils`, `tasks`, `raw`."""

from collections.abc import Callable

from mubench.hub_builders.mini.celeb_profile import profiles
from mubench.hub_builders.mini.cifar10 import digits
from mubench.hub_builders.mini.cifar100 import signs
from mubench.hub_builders.mini.ddi2013 import pairs
from mubench.hub_builders.mini.imdb import reviews
from mubench.hub_builders.mini.nlvr2 import statements
from mubench.hub_builders.mini.samsum import chats
from mubench.hub_builders.mini.speech_commands import keywords
from mubench.hub_builders.mini.tiny_imagenet import badges
from mubench.hub_builders.mini.tofu import questions
from mubench.hub_builders.mini.ucf101 import actions
from mubench.hub_builders.tasks.rows import Splits

MINI: dict[str, Callable[[], Splits]] = {
    "cifar10": digits,
    "cifar100": signs,
    "imdb": reviews,
    "ddi2013": pairs,
    "nlvr2": statements,
    "speech_commands": keywords,
    "ucf101": actions,
    "samsum": chats,
    "celeb_profile": profiles,
    "tiny_imagenet": badges,
    "tofu": questions,
}

__all__ = ["MINI"]
