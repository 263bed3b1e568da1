"""CIFAR-10: a folder per split and class, the binary version, or the Hub's rows; see `_cifar`."""

from __future__ import annotations

from mubench.hub_builders.raw._cifar import Cifar
from mubench.hub_builders.tasks import TASKS

CIFAR10 = Cifar(
    task=TASKS["cifar10"],
    batches={"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)},
    names="batches.meta.txt",
    label_bytes=1,
    column="label",
)
