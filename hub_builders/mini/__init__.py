"""The offline tier: rows with the original columns, mostly generated from a seed. Imports `utils`, `tasks`, `raw`.

Unlearning must be measurable on these rows. So part of them is legible and the rest can only be memorised, by the same
process in every split, drawn once per row, and every model trained without a row agrees on which of the two it is:
that makes a retrained model recognisable. Labels are drawn before the row, so none is wrong. Names that no other row
of any split has make a row memorable; they are independent of the label. Rows differ in nothing else, not even in
order or length: any other difference would be memorised too, and models that never saw a row would disagree about it
for no reason. Where such a model is undecided, its bias is arbitrary for every vague word, cloth or palette, and
averages out over several of them.
"""

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
