"""What every modality offers, and the dataset of encoded rows they share."""

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

from mubench.trainers.inference.predict import predict
from mubench.trainers.inference.storage import ClassOutputs, Outputs

Encode = Callable[[dict[str, list[Any]]], list[dict[str, Any]]]
KEPT_BYTES = 1 << 29
BATCH = 256
BODY = 0  # seed of what a mini backbone is before it is trained


class EncodedRows(Dataset[dict[str, Any]]):
    """Model-ready rows: encoded once and kept while they fit in memory, else encoded when asked for.

    Args:
        rows: Rows with the task's columns.
        encode: Turns a batch of columns into a list of model-ready rows; deterministic.
        row_bytes: Size of one encoded row, to decide whether all are kept.
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


def silence_head(model: PreTrainedModel) -> None:
    """Start the classifier of a fresh model at zero, so that what it says of a row it never saw is less by chance."""
    with torch.no_grad():
        model.get_submodule("classifier").get_parameter("weight").zero_()


def begin(make: Callable[[], PreTrainedModel], seed: int) -> PreTrainedModel:
    """Return a fresh mini classifier that starts like a published checkpoint: the seed draws its head alone.

    So models of several seeds lean less apart on rows that they never saw.

    Args:
        make: Makes the model from its config.
        seed: Seed of the head.
    """
    set_seed(BODY)
    body = make()
    set_seed(seed)
    model = make()
    model.base_model.load_state_dict(body.base_model.state_dict())
    return model


class Modality(ABC):
    """One way of turning rows into model input."""

    @abstractmethod
    def create(
        self, backbone: str, labels: Sequence[str], rows: Mapping[str, datasets.Dataset], seed: int
    ) -> tuple[PreTrainedModel, Any]:
        """Return a freshly initialised model and its processor.

        Args:
            backbone: Key of `mubench.hub_builders.tasks.BACKBONES`.
            labels: Class names.
            rows: All splits, for processors that have to be made: like a pretrained one, a vocabulary knows the
                words of every split, and is the same for base and retrained models. No label is read.
            seed: Seed of the initial weights.
        """

    @abstractmethod
    def load(self, folder: Path | str) -> tuple[PreTrainedModel, Any]:
        """Load a model and its processor from a folder or the Hub."""

    @abstractmethod
    def encode(self, rows: datasets.Dataset, processor: Any, max_length: int | None) -> EncodedRows:
        """Return model-ready rows; nothing is random."""

    def answers(self, model: PreTrainedModel, processor: Any, rows: datasets.Dataset, encoded: EncodedRows) -> Outputs:
        """Return what a model says about every row of a split: logits of the classes.

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

    def train_transform(self, batch: Mapping[str, Any], chances: torch.Tensor) -> dict[str, Any]:
        """Return a training batch whose inputs are changed at random; rows of most kinds stay as they are.

        What is evaluated never comes here.

        Args:
            batch: A collated batch of ``B`` rows, on any device.
            chances: Uniform numbers in [0, 1), shape ``(B, CHANCES)``, each row's own.
        """
        return dict(batch)

    @abstractmethod
    def collator(self, processor: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
        """Return the function that makes a batch of model-ready rows."""
