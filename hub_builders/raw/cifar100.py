"""CIFAR-100: a folder per split and class, the binary version, or the Hub's rows; see `cifar10`."""

from __future__ import annotations

from mubench.hub_builders.raw.cifar10 import Cifar
from mubench.hub_builders.tasks import TASKS

CIFAR100 = Cifar(
    task=TASKS["cifar100"],
    batches={"train": ("train.bin",), "test": ("test.bin",)},
    names="fine_label_names.txt",
    label_bytes=2,
    column="fine_label",
)
