"""`Setting`: a task's rows, made ready for one backbone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import datasets
from transformers import PreTrainedModel

from mubench.hub_builders.dataset.load import TaskInfo, load_task, task_info
from mubench.hub_builders.hub.model_folder import Run
from mubench.hub_builders.tasks import Recipe, Task, get_recipe, get_task, names
from mubench.trainers.engine.augmentation import Transform
from mubench.trainers.models.modalities import MODALITIES, Modality
from mubench.trainers.models.modalities.modality import EncodedRows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """A task's rows, ready for one backbone: what base training, methods and judging share.

    Attributes:
        task: The task's row of the table.
        info: Tier, family and fingerprints of the data.
        recipe: Recipe of base and retrained models.
        backbone: Backbone key.
        data: Dataset folder or Hub id.
        eval_seed: Seed of what models are asked to draw.
        rows: Rows per stored split; loaded when first asked for.
    """

    task: Task
    info: TaskInfo
    recipe: Recipe
    backbone: str
    data: str
    eval_seed: int = 0
    encoded: dict[str, EncodedRows] = dataclasses.field(default_factory=dict, compare=False)

    @cached_property
    def rows(self) -> Mapping[str, datasets.Dataset]:
        rows: Mapping[str, datasets.Dataset] = load_task(self.task.key, data=self.data, family=self.info.family)
        return rows

    @property
    def modality(self) -> Modality:
        """The modality of the task's kind."""
        return MODALITIES[self.task.kind]

    def fresh_model(self, seed: int) -> tuple[PreTrainedModel, Any]:
        """Return a model at its initialisation, and its processor."""
        return self.modality.create(self.backbone, self.info.labels, self.rows, seed)

    def encode(self, split: str, processor: Any) -> EncodedRows:
        """Return the model-ready rows of a stored split; kept, since every processor of a backbone is the same."""
        if split not in self.encoded:
            self.encoded[split] = self.modality.encode(self.rows[split], processor, self.recipe.max_length)
        return self.encoded[split]

    def train_transform(self, augment: bool) -> Transform | None:
        """Return what changes training batches at random, if that is asked for.

        Raises:
            ValueError: If it is, and rows of the task's kind have no such change.
        """
        if not augment:
            return None
        kind, own = self.task.kind, type(self.modality).train_transform
        kinds = [key for key, one in MODALITIES.items() if type(one).train_transform is not Modality.train_transform]
        if own is Modality.train_transform:
            raise ValueError(f"expected augment for {', '.join(kinds)} alone, whose rows can be changed; got {kind}")
        return self.modality.train_transform

    def run(self, **fields: Any) -> Run:
        """Return a run on this setting; ``fields`` are those the setting does not know."""
        info = self.info
        return Run(
            task=self.task.key,
            tier=info.tier,
            family=info.family,
            deletion_seed=info.deletion_seed,
            split=info.split,
            backbone=self.backbone,
            recipe=dataclasses.asdict(self.recipe),
            eval_seed=self.eval_seed,
            **fields,
        )


@lru_cache(maxsize=4)
def _load_setting(
    task: str, backbone: str, *, data: str, family: str, eval_seed: int, place: Path, fingerprint: str
) -> Setting:
    row = get_task(task)
    return Setting(
        task=row,
        info=task_info(task, data=data, family=family),
        recipe=get_recipe(row, backbone),
        backbone=backbone,
        data=data,
        eval_seed=eval_seed,
    )


def load_setting(
    task: str, backbone: str, *, data: str = names.DATASET, family: str = "canonical", eval_seed: int = 0
) -> Setting:
    """Return the setting of a task and backbone; a process keeps the last few.

    Raises:
        ValueError: If task, backbone or family are unknown, or there is an evaluation seed where no model draws.
        FileNotFoundError: If the data are not there; the message names the command that builds them.
    """
    row = get_task(task)
    get_recipe(row, backbone)
    if eval_seed and not row.classifiers:
        raise ValueError(f"expected eval_seed 0 for {task}, whose models draw nothing, got {eval_seed}")
    fingerprint = task_info(task, data=data, family=family).files
    place = Path(data).absolute()  # a relative path is another folder elsewhere
    return _load_setting(
        task, backbone, data=data, family=family, eval_seed=eval_seed, place=place, fingerprint=fingerprint
    )
