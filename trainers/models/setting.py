"""`Setting`: a task on given data with one backbone."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
from torch.utils.data import Subset
from transformers import PreTrainedModel

from mubench.hub_builders.dataset.load import TaskInfo, forget_mask, load_task, task_info
from mubench.hub_builders.hub.model_folder import Run, read_run
from mubench.hub_builders.tasks import TASKS, Recipe, Task, names
from mubench.hub_builders.tasks.definition import Definition
from mubench.hub_builders.tasks.own_backbones import OWN, recipe_of
from mubench.trainers.engine.augmentation import Transform
from mubench.trainers.inference.storage import SHIFTED
from mubench.trainers.models.modalities import MODALITIES, Modality
from mubench.trainers.models.modalities.modality import EncodedRows
from mubench.trainers.models.modalities.pretrained import LoadOptions, check_files, loading


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """A task's rows with one backbone, which base training, methods and judging share.

    Attributes:
        task: The task: one of the table, or a custom task.
        info: Tier, family and fingerprints of the data.
        recipe: Recipe of base and retrained models.
        backbone: Backbone key: one of the table, or that of a custom backbone.
        data: Dataset folder or Hub id.
        eval_seed: Seed of the images that models generate.
        rows: Rows per stored split; loaded at first use.
    """

    task: Task
    info: TaskInfo
    recipe: Recipe
    backbone: str
    data: str
    eval_seed: int = 0
    encoded: dict[str, EncodedRows] = dataclasses.field(default_factory=dict, compare=False)

    def with_own_encoding(self) -> Setting:
        """Return the same setting, whose encoded rows no other shares: for a model whose processor may be another."""
        return dataclasses.replace(self, encoded={})

    @cached_property
    def rows(self) -> Mapping[str, datasets.Dataset]:
        return load_task(self.task.key, data=self.data, family=self.info.family)

    @cached_property
    def train_ids(self) -> npt.NDArray[np.str_]:
        """Ids of the training rows, ``(N,)``."""
        return np.asarray(self.rows["train"]["example_id"], dtype=np.str_)

    def forget_mask(self, ratio: int) -> npt.NDArray[np.bool_]:
        """Return which rows of ``train`` are forgotten at a ratio, ``(N,)``.

        Raises:
            ValueError: If the data have no such ratio.
        """
        return forget_mask(self.rows["train"], self.info.forget_size(ratio))

    def request_mask(self, ratio: int, deleted_before: int | None = None) -> npt.NDArray[np.bool_]:
        """Return which rows of ``train`` a ratio forgets beside those that another one had deleted before, ``(N,)``.

        Raises:
            ValueError: If the data have no such ratio, or there are no such rows.
        """
        mask = self.forget_mask(ratio)
        if deleted_before is not None:
            mask &= ~self.forget_mask(deleted_before)
            if not mask.any():
                raise ValueError(
                    f"expected rows of {self.task.key} ({self.info.family} family) that {ratio} % deletes beside "
                    f"those of {deleted_before} %, got none"
                )
        return mask

    def forget_retain_sets(
        self, ratio: int, processor: Any, deleted_before: int | None = None
    ) -> dict[str, Subset[dict[str, Any]]]:
        """Return the model-ready rows of the ``forget`` and the ``retain`` set.

        Rows that had been deleted before, see `request_mask`, are in neither.
        """
        rows, retain = self.encode("train", processor), ~self.forget_mask(ratio)
        return {
            "forget": Subset(rows, self.request_mask(ratio, deleted_before).nonzero()[0].tolist()),
            "retain": Subset(rows, retain.nonzero()[0].tolist()),
        }

    @property
    def modality(self) -> Modality:
        return MODALITIES[self.task.kind].for_recipe(self.recipe)

    def fresh_model(self, seed: int, options: LoadOptions | None = None) -> tuple[PreTrainedModel, Any]:
        """Return the model that base and retrained models start from, and its processor; by default in fp32."""
        own = OWN.get(self.backbone)
        start = self.backbone if own is None or own.start is None else own.start
        with loading(options):
            model, processor = self.modality.create(start, self.info.labels, self.rows, seed)
        if options is not None:
            options.apply(model)
        return model, processor

    def load(self, folder: Path, again: str = "", options: LoadOptions | None = None) -> tuple[PreTrainedModel, Any]:
        """Return a stored model and its processor, compared with what was written.

        Args:
            folder: Its folder.
            again: How to make it anew, for messages.
            options: How its weights are loaded; ``None`` for the type that they are stored in.

        Raises:
            ValueError: If the folder is damaged, or the model has other classes than the split.
        """
        model, processor = self._load(folder, again, options)
        with _explain_damage(folder, again):  # the messages before say what is wrong, this one only where
            check_files(folder, read_run(folder).files)
        return model, processor

    def load_foreign(self, folder: Path, options: LoadOptions | None = None) -> tuple[PreTrainedModel, Any]:
        """Return a model that any program saved, by default in fp32, and its processor.

        Classes without names are taken in their order.

        Raises:
            ValueError: If the folder is damaged, or the model has other classes than the split.
        """
        return self._load(folder, "", options or LoadOptions(), unnamed=True)

    def _load(
        self, folder: Path, again: str, options: LoadOptions | None, *, unnamed: bool = False
    ) -> tuple[PreTrainedModel, Any]:
        with _explain_damage(folder, again), loading(options):
            model, processor = self.modality.load(folder)
        if options is not None:
            options.apply(model)
        if self.task.kind.endswith("_classification"):
            named, wanted = tuple((model.config.id2label or {}).values()), self.info.labels
            plain = tuple(f"LABEL_{i}" for i in range(len(wanted)))  # what transformers calls them
            if named not in (wanted, *([plain] if unnamed else [])):
                raise ValueError(
                    f"expected a model of {_list_classes(wanted)} in {folder}, got one of {_list_classes(named)}"
                )
        return model, processor

    def encode(self, split: str, processor: Any) -> EncodedRows:
        """Return the model-ready rows of a stored split; cached, since all processors of a backbone are equal.

        That of a model that another program made may be another, see `with_own_encoding`.
        """
        if split not in self.encoded:
            self.encoded[split] = self.modality.encode(self.rows[split], processor, self.recipe.max_length)
        return self.encoded[split]

    @cached_property
    def largest_forget_set(self) -> datasets.Dataset:
        """The training rows that some ratio forgets, in the order of ``train``."""
        train = self.rows["train"]
        return train.select(forget_mask(train, max(self.info.forget.values())).nonzero()[0])

    def encode_shifted(self, processor: Any) -> EncodedRows | None:
        """Return the model-ready rows of the largest forget set with a slightly changed input; cached.

        ``None`` where the task's kind has no such change.
        """
        if SHIFTED not in self.encoded:
            found = self.modality.encode_shifted(self.largest_forget_set, processor, self.recipe.max_length)
            if found is None:
                return None
            self.encoded[SHIFTED] = found
        return self.encoded[SHIFTED]

    def train_transform(self, augment: bool) -> Transform | None:
        """Return the random augmentation of training batches, or ``None``.

        Raises:
            ValueError: If the task's kind has no augmentation.
        """
        if not augment:
            return None
        if self.modality.train_transform is None:
            kinds = ", ".join(kind for kind, one in MODALITIES.items() if one.train_transform is not None)
            raise ValueError(f"expected augment for {kinds} alone, whose rows can be changed; got {self.task.kind}")
        return self.modality.train_transform

    def run(self, **fields: Any) -> Run:
        """Return a run on this setting; ``fields`` are the other fields of `Run`."""
        info, own = self.info, OWN.get(self.backbone)
        return Run(
            task=self.task.key,
            tier=info.tier,
            family=info.family,
            deletion_seed=info.deletion_seed,
            split=info.split,
            backbone=self.backbone,
            backbone_files=own.sha256 if own else None,
            backbone_start=own.start if own else None,
            recipe=self.recipe.record(),
            eval_seed=self.eval_seed,
            definition=info.definition and Definition.model_validate(info.definition).record(),
            **fields,
        )


@contextmanager
def _explain_damage(folder: Path, again: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        got = (str(error).strip().splitlines() or [type(error).__name__])[0]
        end = f"; {again}" if again and again not in got else ""
        raise ValueError(f"expected a whole model in {folder}, got: {got}{end}") from error


def _list_classes(labels: Sequence[str]) -> str:
    return f"{len(labels)} classes ({', '.join(labels[:3])}{', ...' if len(labels) > 3 else ''})"


@lru_cache(maxsize=4)
def _load_setting(
    task: str, backbone: str, *, data: str, family: str, eval_seed: int, place: Path, fingerprint: str
) -> Setting:
    info = task_info(task, data=data, family=family)
    return Setting(
        task=info.row,
        info=info,
        recipe=recipe_of(info.row, backbone),
        backbone=backbone,
        data=data,
        eval_seed=eval_seed,
    )


def load_setting(
    task: str, backbone: str, *, data: str = names.DATASET, family: str = "canonical", eval_seed: int = 0
) -> Setting:
    """Return the setting of a task and backbone; a process caches the last few.

    Raises:
        ValueError: If task, backbone or family are unknown, or `eval_seed` is set where no images are generated.
        FileNotFoundError: If the data are not there; the message names the command that builds them.
    """
    if task in TASKS:
        recipe_of(TASKS[task], backbone)  # a mistyped backbone is named before missing data
    info = task_info(task, data=data, family=family)
    if eval_seed and not info.row.classifiers:
        raise ValueError(f"expected eval_seed 0 for {task}, whose models generate no images, got {eval_seed}")
    fingerprint = f"{info.files} {json.dumps(info.definition, sort_keys=True)}"  # recipes change without the rows
    place = Path(data).absolute()  # a relative path depends on the working directory
    return _load_setting(
        task, backbone, data=data, family=family, eval_seed=eval_seed, place=place, fingerprint=fingerprint
    )
