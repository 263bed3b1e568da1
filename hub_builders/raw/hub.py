"""Rows of a dataset on the Hub, undecoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datasets import ClassLabel, Dataset, Image, load_dataset
from datasets.exceptions import DatasetsError
from huggingface_hub.errors import HfHubHTTPError

from mubench.hub_builders.tasks import Source


def hub_rows(source: Source, split: str, labels: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (position, row) of a split; pictures come as ``{"bytes", "path"}``.

    Raises:
        FileNotFoundError: If the Hub cannot be reached and nothing is cached.
        ValueError: If the class names differ from the task's.
    """
    dataset = _load(source, split)
    names = dataset.features["label"]
    if isinstance(names, ClassLabel) and tuple(names.names) != labels:
        raise ValueError(f"expected the labels {', '.join(labels)} in {source.hub_id}, got {', '.join(names.names)}")
    for column, feature in dataset.features.items():
        if isinstance(feature, Image):
            dataset = dataset.cast_column(column, Image(decode=False))
    yield from enumerate(dataset)


def _load(source: Source, split: str) -> Dataset:
    try:
        return load_dataset(source.hub_id, split=split, revision=source.revision)
    except (OSError, ValueError, DatasetsError, HfHubHTTPError) as error:
        raise FileNotFoundError(
            f"expected {source.hub_id} from the Hub, got no answer: give the folder of {source.files[0]} as --raw DIR"
        ) from error
