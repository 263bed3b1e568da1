"""`Modality`, the interface of all modalities, and `EncodedRows`, their dataset."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import datasets
import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedConfig, PreTrainedModel, default_data_collator, set_seed

from mubench.hub_builders.tasks import Recipe
from mubench.hub_builders.tasks.own_backbones import get_backbone
from mubench.trainers.engine.augmentation import Transform
from mubench.trainers.engine.rows import memory_share
from mubench.trainers.inference.generate import GenerationRequest
from mubench.trainers.inference.outputs import ClassOutputs, Outputs
from mubench.trainers.inference.predict import predict
from mubench.trainers.models.modalities.pretrained import checkpoint_source, load_complete, load_published

Encode = Callable[[dict[str, list[Any]]], list[dict[str, Any]]]
Collator = Callable[[list[dict[str, Any]]], dict[str, Any]]
Splits = Mapping[str, datasets.Dataset]
ModelPair = tuple[Any, Any]  # a model and its processor
BATCH = 256
BODY = 0  # seed of the weights that mini classifiers of all seeds share


class EncodedRows(Dataset[dict[str, Any]]):
    """Model-ready rows: encoded once and cached while they fit in memory, otherwise encoded at every access.

    No row ever changes (``fixed``).

    Args:
        rows: Rows with the task's columns.
        encode: Turns a batch of columns into a list of model-ready rows; deterministic.
        row_bytes: Size of one encoded row, to decide whether all are cached.
    """

    fixed = True

    def __init__(self, rows: datasets.Dataset, encode: Encode, row_bytes: int) -> None:
        self.rows, self.encode = rows, encode
        self.kept: list[dict[str, Any]] | None = None
        if len(rows) * row_bytes <= memory_share():
            self.kept = [row for start in range(0, len(rows), BATCH) for row in encode(rows[start : start + BATCH])]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.kept[index] if self.kept is not None else self.encode(self.rows[index : index + 1])[0]

    def __getitems__(self, rows: Sequence[int]) -> Sequence[dict[str, Any]]:
        return [self.kept[row] for row in rows] if self.kept is not None else self.encode(self.rows[list(rows)])


def zero_head(model: PreTrainedModel) -> None:
    """Set the weights of a fresh model's classifier to zero: its outputs on unseen rows depend less on chance."""
    with torch.no_grad():
        model.get_submodule("classifier").get_parameter("weight").zero_()


def create_with_shared_body(make: Callable[[], PreTrainedModel], seed: int) -> PreTrainedModel:
    """Return a fresh mini classifier that starts like a published checkpoint: the seed initialises its head alone.

    Models of several seeds then differ less on unseen rows. Of a class that keeps body and head in one, as Whisper's,
    the seed initialises nothing. ``make`` creates the model from its config.
    """
    set_seed(BODY)
    body = make()
    set_seed(seed)
    model = make()
    model.base_model.load_state_dict(body.base_model.state_dict())
    return model


class Modality(ABC):
    """The models of a kind of task, and how its rows become their input.

    Attributes:
        train_transform: Augments a training batch of ``B`` rows by uniform numbers in [0, 1), each row's own, shape
            ``(B, NUMBERS_PER_ROW)``; ``None`` where the kind has no augmentation. Evaluation does not call it.
        generates: Whether its models generate texts or images, see `add_generated`.
    """

    train_transform: Transform | None = None
    generates: ClassVar[bool] = True

    def for_recipe(self, recipe: Recipe) -> Modality:
        """Return the modality with what a recipe says about the form of its rows."""
        return self

    @abstractmethod
    def create(self, backbone: str, labels: Sequence[str], rows: Splits, seed: int) -> ModelPair:
        """Return a freshly initialised model and its processor.

        Args:
            backbone: Key of a backbone.
            labels: Class names.
            rows: All splits, for tokenizers that are made here: like a pretrained one, a vocabulary covers every
                split, and is the same for base and retrained models. No label is read.
            seed: Seed of the initial weights.
        """

    @abstractmethod
    def load(self, folder: Path | str) -> ModelPair:
        """Load a model and its processor from a folder or the Hub."""

    @abstractmethod
    def encode(self, rows: datasets.Dataset, processor: Any, max_length: int | None) -> EncodedRows:
        """Return model-ready rows, deterministically."""

    def encode_shifted(self, rows: datasets.Dataset, processor: Any, max_length: int | None) -> EncodedRows | None:
        """Return rows with a slightly changed input, model-ready, see `shifts`; ``None`` without such a change."""
        return None

    @abstractmethod
    def predict(self, model: PreTrainedModel, processor: Any, rows: datasets.Dataset, encoded: EncodedRows) -> Outputs:
        """Return a model's outputs on a split: of a classifier, its logits.

        Args:
            model: The model.
            processor: Its processor.
            rows: The rows, for their ids and labels.
            encoded: The same rows, model-ready.
        """

    def add_generated(
        self, outputs: Outputs, model: PreTrainedModel, processor: Any, request: GenerationRequest
    ) -> Outputs:
        """Return the outputs on a split with what the model generates for some rows."""
        return outputs

    def answer_encoder(self, processor: Any) -> Callable[[str], list[int]] | None:
        """Return what gives the tokens of any answer after a prompt; ``None`` where no template gives it a form."""
        return None

    def prompt_encoder(self, processor: Any) -> Callable[[str], list[int]] | None:
        """Return what gives the tokens of any prompt up to its answer; ``None`` where no template gives it a form."""
        return None

    def collator(self, processor: Any) -> Collator:
        """Return the function that collates model-ready rows into a batch: it stacks rows, which have one size."""
        return default_data_collator


class ClassifierModality(Modality):
    """A modality whose backbones classify, each published one with a fresh head."""

    generates = False
    auto: ClassVar[Any]
    configs: ClassVar[Mapping[str, Callable[[], PreTrainedConfig]]]

    @abstractmethod
    def create_from_config(self, config: PreTrainedConfig, rows: Splits, seed: int) -> ModelPair:
        """Return a backbone at its initialisation, and its processor; its config names its classes."""

    @abstractmethod
    def load_processor(self, **source: Any) -> Any:
        """Load a processor; ``source`` locates it, as ``from_pretrained`` takes it."""

    def create(self, backbone: str, labels: Sequence[str], rows: Splits, seed: int) -> ModelPair:
        set_seed(seed)
        names = dict(enumerate(labels))
        classes = {"id2label": names, "label2id": {name: index for index, name in names.items()}}
        if get_backbone(backbone).hub_id is not None:
            model = load_published(self.auto, backbone, **classes)
            return model, self.load_processor(**checkpoint_source(backbone))
        config = self.configs[backbone]()
        config.update(classes)
        return self.create_from_config(config, rows, seed)

    def load(self, folder: Path | str) -> ModelPair:
        model = load_complete(self.auto, folder)
        return model, self.load_processor(pretrained_model_name_or_path=folder)

    def predict(self, model: PreTrainedModel, processor: Any, rows: datasets.Dataset, encoded: EncodedRows) -> Outputs:
        return ClassOutputs(
            ids=np.asarray(rows["example_id"], dtype=np.str_),
            logits=predict(model, encoded, self.collator(processor)),
            labels=np.asarray(rows["label"], dtype=np.int64),
        )
