"""`Registry`: a literal table of classes or objects, each imported from its own file when it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

Row = TypeVar("Row")


class Registry(Mapping[str, Row], Generic[Row]):
    """Maps a key to what the file of that name defines; listing keys imports nothing.

    Args:
        names: Name of the object by key: ``{"scrub": "ScrubTrainer"}`` is ``ScrubTrainer`` in ``scrub.py``.
        package: Where the files are, such as ``"mubench.trainers.methods"``.
    """

    def __init__(self, names: Mapping[str, str], *, package: str) -> None:
        self.names, self.package = names, package

    def __getitem__(self, key: str) -> Row:
        name = self.names[key]
        row: Any = getattr(import_module(f"{self.package}.{key}"), name)
        return row

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, key: object) -> bool:
        return key in self.names
