"""Rows of a dataset on the Hub, with their media undecoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datasets import Audio, ClassLabel, Dataset, Image, Video, load_dataset
from datasets.exceptions import DatasetsError

from mubench.hub_builders.tasks import Source


def read_hub_rows(
    source: Source,
    split: str,
    labels: tuple[str, ...] = (),
    *,
    config: str | None = None,
    label: str = "label",
    data_dir: str | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (index, row) of a split; media are ``{"bytes", "path"}``.

    Args:
        source: The dataset.
        split: Its split.
        labels: Class names that the label column must have; none skips the check.
        config: Its config.
        label: Its label column.
        data_dir: Folder of the rows in a repository without configs.

    Raises:
        FileNotFoundError: If the Hub has no such dataset, or cannot be reached and nothing is cached.
        ValueError: If the class names differ from the task's.
    """
    dataset = _load(source, split, config, data_dir)
    names = dataset.features.get(label)
    if labels and isinstance(names, ClassLabel) and tuple(names.names) != labels:
        raise ValueError(f"expected the labels {', '.join(labels)} in {source.hub_id}, got {', '.join(names.names)}")
    for column, feature in dataset.features.items():
        if isinstance(feature, Image | Audio | Video):
            dataset = dataset.cast_column(column, type(feature)(decode=False))
    yield from enumerate(dataset)


def _load(source: Source, split: str, config: str | None, data_dir: str | None) -> Dataset:
    if source.hub_id is None:
        raise FileNotFoundError(
            f"expected original files, got none and they are not on the Hub: give the folder of {source.files[0]} as "
            "--raw DIR"
        )
    folder = {"data_dir": data_dir} if data_dir else {}
    try:
        return load_dataset(source.hub_id, config, split=split, revision=source.revision, **folder)
    except (OSError, ValueError, DatasetsError) as error:
        raise FileNotFoundError(
            f"expected {source.hub_id} from the Hub, got: {str(error).splitlines()[0]}; or give the folder of "
            f"{source.files[0]} as --raw DIR"
        ) from error
