"""A small cifar10 with quickly trained models: the walk from original rows to result rows, in seconds."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import transformers

from mubench.hub_builders.base_models import train_base
from mubench.hub_builders.build import build
from mubench.hub_builders.mini import MINI
from mubench.hub_builders.raw.rows import Splits
from mubench.hub_builders.tasks import BACKBONES as TASK_BACKBONES
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.workbench import Workbench, workbench
from mubench.trainers.recipes import DEFAULTS
from mubench.trainers.references import find_group
from mubench.trainers.run import Request, unlearn
from mubench.trainers.scoring import Judge
from mubench.trainers.sweep import QUIET

transformers.utils.logging.disable_progress_bar()

COUNTS = {"train": 160, "validation": 20, "test": 60}
BACKBONES = ("resnet", "vit")
BASES, RETRAINED = (0, 1), (0, 1, 2)
RATIO = 10
FORGET = 16
_digits = functools.cache(MINI["cifar10"])


def few(counts: dict[str, int]) -> Splits:
    """Return the first rows of mini cifar10, as they are; a build writes into them."""
    return {split: [dict(row) for row in rows[: counts[split]]] for split, rows in _digits().items()}


@contextmanager
def quick(counts: dict[str, int] | None = None) -> Iterator[None]:
    """Make mini cifar10 small, and its recipes and methods short."""
    counts = counts or COUNTS
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MINI, "cifar10", lambda: few(counts))
        patch.setitem(TASKS["cifar10"].counts, "mini", counts)
        for backbone in BACKBONES:
            recipe = TASKS["cifar10"].recipes[backbone]
            patch.setitem(
                TASKS["cifar10"].recipes, backbone, dataclasses.replace(recipe, epochs=2, batch_size=32, warmup=0.0)
            )
            key = ("image_classification", TASK_BACKBONES[backbone].family)
            short = {method: {**given, "num_train_epochs": 1} for method, given in DEFAULTS[key].items()}
            patch.setitem(DEFAULTS, key, short)
        yield


@dataclass(frozen=True)
class Walk:
    """Where a walk took place: ``mu-bench``, ``models`` and ``results`` in one folder."""

    root: Path

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def data(self) -> str:
        """Where the data really lie: copies of a walk share them, and what a process keeps of them."""
        return str((self.root / "mu-bench").resolve())

    def bench(self, backbone: str = "resnet") -> Workbench:
        return workbench("cifar10", backbone, data=self.data)

    def base(self, seed: int = 0, backbone: str = "resnet", **arguments: Any) -> Path:
        return train_base(self.bench(backbone), seed, models=self.models, **(arguments or QUIET))

    def request(self, method: str, backbone: str = "resnet", **changes: Any) -> Request:
        arguments = {**QUIET, **changes.pop("arguments", {})}
        fields: dict[str, Any] = {"ratio": RATIO, "models": self.models, **changes}
        return Request(bench=self.bench(backbone), method=method, arguments=arguments, **fields)

    def unlearn(self, method: str, **changes: Any) -> Path:
        return unlearn(self.request(method, **changes))

    def judge(self) -> Judge:
        return Judge(find_group(self.bench(), RATIO, self.models), self.results)

    def flags(self) -> list[str]:
        """Return where to read and write, as command line words."""
        return [f"--data={self.data}", f"--models={self.models}"]

    def copy(self, root: Path) -> Walk:
        """Return a walk of its own; the data are shared."""
        shutil.copytree(self.models, root / "models")
        (root / "mu-bench").symlink_to(self.data)
        return Walk(root)


def files(folder: Path) -> dict[str, bytes]:
    """Return what a folder holds, by relative name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def walk(root: Path) -> Walk:
    """Build the small task, and train base, retrained and one unlearned ResNet."""
    with quick():
        build("cifar10", out=root)
        made = Walk(root)
        for seed in BASES:
            made.base(seed)
        for seed in RETRAINED:
            made.unlearn("retrain", base_seed=seed)
        made.unlearn("neg_grad")
    return made
