"""The reference models of a group of runs: base and retrained models, and their outputs."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TypeVar

from mubench.hub_builders.hub.model_folder import REFERENCE, Run, read_run, read_runs, remake_command
from mubench.hub_builders.tasks.own_backbones import is_adopted
from mubench.hub_builders.utils.hints import command
from mubench.hub_builders.utils.text import quote
from mubench.trainers.evaluation.controls import CONTROLS
from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.inference.storage import (
    RANDOM,
    SHIFTED,
    hash_outputs,
    outputs_by_split,
    read_or_explain,
    read_outputs,
)
from mubench.trainers.methods import METHODS
from mubench.trainers.models.base_models import base_name
from mubench.trainers.models.setting import Setting

T = TypeVar("T")
logger = logging.getLogger(__name__)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True)
class Group:
    """The finished runs of one task, ratio and backbone.

    Attributes:
        setting: Task and backbone.
        ratio: Percentage deleted.
        models: Folder of all models.
        runs: Finished runs on the setting at any ratio, by folder.
        bases: Folders of the base models, by base seed.
        retrained: Folders of the retrained models, by seed.
        unlearned: Every other folder of the group, with its run; those of unknown methods are left out.
    """

    setting: Setting
    ratio: int
    models: Path
    runs: dict[Path, Run]
    bases: dict[int, Path]
    retrained: dict[int, Path]
    unlearned: dict[Path, Run]

    def outputs(self, folder: Path, *, random: bool = False) -> dict[str, Outputs]:
        """Return a model's outputs by split, ``forget`` and ``retain`` in place of ``train``.

        ``shifted`` is left out for all models if a reference model has none, being of an earlier version, and those of
        a randomly initialised model, which lie beside a base's, unless ``random`` is set.

        Raises:
            ValueError: If they are missing, damaged or not those that ``run.json`` records; the message names the
                command that makes them anew.
        """
        ids = self.setting.train_ids
        mask = self.setting.forget_mask(self.ratio)
        stored = self._read(read_outputs, folder)
        if not self.can_compare_shifted:
            stored.pop(SHIFTED, None)
        if not random:
            stored.pop(RANDOM, None)
        return outputs_by_split(stored, ids[mask], ids[~mask])

    @cached_property
    def can_compare_shifted(self) -> bool:
        """Whether all reference models have outputs on slightly changed rows."""
        references = (*self.bases.values(), *self.retrained.values())
        return all((folder / REFERENCE / f"{SHIFTED}.parquet").is_file() for folder in references)

    def hash(self, folder: Path) -> str:
        """Return the SHA-256 of a model's outputs; errors are those of `outputs`."""
        return self._read(hash_outputs, folder)

    def _read(self, read: Callable[[Path, Mapping[str, str]], T], folder: Path) -> T:
        run = self.runs.get(folder) or read_run(folder)
        return read_or_explain(lambda: read(folder / REFERENCE, run.outputs), run, folder, self.setting.data)

    def references(self) -> tuple[list[dict[str, Outputs]], list[dict[str, Outputs]]]:
        """Return the outputs of the retrained models and of the base models, each by seed."""
        retrained, bases = (
            [self.outputs(folder) for _, folder in sorted(folders.items())] for folders in (self.retrained, self.bases)
        )
        return retrained, bases

    @property
    def can_judge(self) -> bool:
        """Whether there are enough references: a base model and two retrained ones."""
        return bool(self.bases) and len(self.retrained) > 1

    def require(self) -> None:
        """Check that there are enough references.

        Raises:
            FileNotFoundError: If base or retrained models are missing; the message names the command.
        """
        if self.can_judge:
            return
        task, backbone = self.setting.task.key, self.setting.backbone
        place = {"data": self.setting.data, "family": self.setting.info.family, "models": self.models}
        place |= {"eval_seed": self.setting.eval_seed}
        make = command("references", task=task, backbone=backbone, ratio=self.ratio, seeds="0 1 2", **place)
        if is_adopted(backbone) and not self.bases:
            run = self.setting.run(ratio=None, base_seed=0)
            make = f"{remake_command(run, self.models / base_name(run), self.setting.data)}, then: {make}"
        info = self.setting.info
        primary = self.setting.task.family_of(info.tier)
        others = "" if primary == info.family else f"; results of {task} are reported on --family {primary}"
        raise FileNotFoundError(
            f"expected 1 base and 2 retrained models of {task} {backbone} at {self.ratio} %, got {len(self.bases)} "
            f"and {len(self.retrained)}; make them with: {make}{others}"
        )


def find_group(setting: Setting, ratio: int, models: Path) -> Group:
    """Collect the finished runs on a setting at one ratio."""
    runs = _runs_on(setting, models)
    bases, retrained, unlearned = {}, {}, {}
    for folder, run in runs.items():
        if _is_base(run):
            bases[run.base_seed] = folder
        elif run.ratio == ratio and _is_reference(run):
            retrained[run.base_seed] = folder
        elif run.method is not None and run.ratio == ratio and _is_judged(folder, run):
            unlearned[folder] = run
    return Group(setting, ratio, models, runs, bases, retrained, unlearned)


def retrained_by_ratio(setting: Setting, models: Path) -> dict[int, int]:
    """Return how many retrained models a setting has at every ratio: none where there is no base model."""
    runs = _runs_on(setting, models).values()
    based = any(map(_is_base, runs))
    count = Counter(run.ratio for run in runs if based and _is_reference(run))
    return {ratio: count[ratio] for ratio in sorted(setting.info.forget)}


def _runs_on(setting: Setting, models: Path) -> dict[Path, Run]:
    """Return the finished runs on a setting, by folder: of its data, recipe, backbone and evaluation seed."""
    here = setting.run(ratio=None, base_seed=0)
    return {folder: run for folder, run in read_runs(models).items() if run.has_setting_of(here)}


def _is_base(run: Run) -> bool:
    """Whether it is a base model, without options of its own such as LoRA."""
    return run.method is None and not run.arguments


def _is_judged(folder: Path, run: Run) -> bool:
    """Whether a run's method is of the suite or custom (its file need not exist); report any other method."""
    is_own = _SHA256.fullmatch(run.method_file or "") and _KEY.fullmatch(run.method or "")
    if run.method in METHODS or (is_own and run.method not in CONTROLS):
        return True
    _warn(f"{folder.name} is left out: expected a method of the suite, or one with the SHA-256 of its file, got "
          f"{quote(run.method)}")  # fmt: skip
    return False


@lru_cache(maxsize=256)  # a command finds the same group again and again
def _warn(message: str) -> None:
    logger.warning("%s", message)


def _is_reference(run: Run) -> bool:
    """Whether it is a retrained model without options of its own."""
    return run.method == "retrain" and run.tuned == "default"
