"""The offline tier: the same columns as the original data, from installed dependencies or a seeded recipe."""

from collections.abc import Callable

from mubench.hub_builders.mini.audio import keywords
from mubench.hub_builders.mini.authors import questions
from mubench.hub_builders.mini.captions import badges
from mubench.hub_builders.mini.dialogues import chats
from mubench.hub_builders.mini.image import digits
from mubench.hub_builders.mini.jars import statements
from mubench.hub_builders.mini.people import profiles
from mubench.hub_builders.mini.relations import pairs
from mubench.hub_builders.mini.shapes import signs
from mubench.hub_builders.mini.text import reviews
from mubench.hub_builders.mini.video import actions
from mubench.hub_builders.raw.rows import Splits

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
