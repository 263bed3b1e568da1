"""Readers of the original files or Hub rows, one module per task. Imports `utils`, `tasks`.

The counts, labels and ids of what they return are checked by `dataset.sources`.
"""

from collections.abc import Callable
from pathlib import Path

from mubench.hub_builders.raw import (
    celeb_profile,
    cifar10,
    cifar100,
    ddi2013,
    imdb,
    nlvr2,
    samsum,
    speech_commands,
    tiny_imagenet,
    tofu,
    ucf101,
)
from mubench.hub_builders.tasks.rows import Splits

RAW: dict[str, Callable[[Path], Splits]] = {
    "cifar10": cifar10.CIFAR10.from_files,
    "cifar100": cifar100.CIFAR100.from_files,
    "imdb": imdb.from_files,
    "ddi2013": ddi2013.from_files,
    "nlvr2": nlvr2.from_files,
    "speech_commands": speech_commands.from_files,
    "ucf101": ucf101.from_files,
    "samsum": samsum.from_files,
    "celeb_profile": celeb_profile.from_files,
    "tiny_imagenet": tiny_imagenet.from_files,
    "tofu": tofu.from_files,
}
HUB: dict[str, Callable[[], Splits]] = {
    "cifar10": cifar10.CIFAR10.from_hub,
    "cifar100": cifar100.CIFAR100.from_hub,
    "imdb": imdb.from_hub,
    "ddi2013": ddi2013.from_hub,
    "nlvr2": nlvr2.from_hub,
    "speech_commands": speech_commands.from_hub,
    "ucf101": ucf101.from_hub,
    "samsum": samsum.from_hub,
    "celeb_profile": celeb_profile.from_hub,
    "tiny_imagenet": tiny_imagenet.from_hub,
    "tofu": tofu.from_hub,
}
# Tasks whose original files name the classes, so that a stand-in may have classes of its own.
LABELS: dict[str, Callable[[Path], tuple[str, ...]]] = {"ucf101": ucf101.class_names}

__all__ = ["HUB", "LABELS", "RAW"]
