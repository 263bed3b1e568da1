"""`Modality`, the interface of all modalities, and `EncodedRows`, their dataset."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedModel, set_seed

from mubench.trainers.inference.class_outputs import ClassOutputs
from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.inference.predict import predict

Encode = Callable[[dict[str, list[Any]]], list[dict[str, Any]]]
KEPT_BYTES = 1 << 29
BATCH = 256
BODY = 0  # seed of the weights that mini classifiers of all seeds share


class EncodedRows(Dataset[dict[str, Any]]):
    """Model-ready rows: encoded once and cached while they fit in memory, otherwise encoded at every access.

    Args:
        rows: Rows with the task's columns.
        encode: Turns a batch of columns into a list of model-ready rows; deterministic.
        row_bytes: Size of one encoded row, to decide whether all are cached.
    """

    def __init__(self, rows: datasets.Dataset, encode: Encode, row_bytes: int) -> None:
        self.rows, self.encode = rows, encode
        self.kept: list[dict[str, Any]] | None = None
        if len(rows) * row_bytes <= KEPT_BYTES:
            self.kept = [row for start in range(0, len(rows), BATCH) for row in encode(rows[start : start + BATCH])]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one model-ready row."""
        return self.kept[index] if self.kept is not None else self.encode(self.rows[index : index + 1])[0]


def class_names(labels: Sequence[str]) -> dict[str, Any]:
    """Return the entries of a model's config that name its classes."""
    names = dict(enumerate(labels))
    return {"id2label": names, "label2id": {name: index for index, name in names.items()}}


def zero_head(model: PreTrainedModel) -> None:
    """Set the weights of a fresh model's classifier to zero: its outputs on unseen rows depend less on chance."""
    with torch.no_grad():
        model.get_submodule("classifier").get_parameter("weight").zero_()


def create_with_shared_body(make: Callable[[], PreTrainedModel], seed: int) -> PreTrainedModel:
    """Return a fresh mini classifier that starts like a published checkpoint: the seed initialises its head alone.

    Models of several seeds then differ less on unseen rows.

    Args:
        make: Creates the model from its config.
        seed: Seed of the head.
    """
    set_seed(BODY)
    body = make()
    set_seed(seed)
    model = make()
    model.base_model.load_state_dict(body.base_model.state_dict())
    return model


class Modality(ABC):
    """The models of a kind of task, and how its rows become their input."""

    @abstractmethod
    def create(
        self, backbone: str, labels: Sequence[str], rows: Mapping[str, datasets.Dataset], seed: int
    ) -> tuple[PreTrainedModel, Any]:
        """Return a freshly initialised model and its processor.

        Args:
            backbone: Key of `mubench.hub_builders.tasks.BACKBONES`.
            labels: Class names.
            rows: All splits, for tokenizers that are made here: like a pretrained one, a vocabulary covers every
                split, and is the same for base and retrained models. No label is read.
            seed: Seed of the initial weights.
        """

    @abstractmethod
    def load(self, folder: Path | str) -> tuple[PreTrainedModel, Any]:
        """Load a model and its processor from a folder or the Hub."""

    @abstractmethod
    def encode(self, rows: datasets.Dataset, processor: Any, max_length: int | None) -> EncodedRows:
        """Return model-ready rows, deterministically."""

    def predict(self, model: PreTrainedModel, processor: Any, rows: datasets.Dataset, encoded: EncodedRows) -> Outputs:
        """Return a model's outputs on a split: logits of the classes.

        Args:
            model: The model.
            processor: Its processor.
            rows: The rows, for their ids and labels.
            encoded: The same rows, model-ready.
        """
        return ClassOutputs(
            ids=np.asarray(rows["example_id"], dtype=np.str_),
            logits=predict(model, encoded, self.collator(processor)),
            labels=np.asarray(rows["label"], dtype=np.int64),
        )

    def train_transform(self, batch: Mapping[str, Any], random_numbers: torch.Tensor) -> dict[str, Any]:
        """Return a training batch with augmented inputs; modalities without augmentation return it unchanged.

        Evaluation does not call this.

        Args:
            batch: A collated batch of ``B`` rows, on any device.
            random_numbers: Uniform numbers in [0, 1), shape ``(B, CHANCES)``, each row's own.
        """
        return dict(batch)

    @abstractmethod
    def collator(self, processor: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
        """Return the function that collates model-ready rows into a batch."""
