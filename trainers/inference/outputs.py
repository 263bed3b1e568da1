"""`Outputs`: the outputs of a model on a split, rows by id, and the numbers that metrics read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Array = npt.NDArray[np.float64]


class Outputs(ABC):
    """The outputs of a model on ``N`` rows of a split.

    Attributes:
        ids: Example ids, ``(N,)`` strings, no two alike.
    """

    ids: npt.NDArray[np.str_]

    def check_ids(self) -> None:
        """Raise ``ValueError`` if two rows have the same id."""
        if len(self._sorted_ids) > 1 and (self._sorted_ids[1:] == self._sorted_ids[:-1]).any():
            raise ValueError(f"expected {len(self)} different example ids, got {len(np.unique(self.ids))}")

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _order(self) -> npt.NDArray[np.intp]:
        return np.argsort(self.ids, kind="stable")

    @cached_property
    def _sorted_ids(self) -> npt.NDArray[np.str_]:
        return self.ids[self._order]

    def select(self, ids: Sequence[str] | npt.NDArray[np.str_]) -> Self:
        """Return the rows with these ids, in their order.

        Raises:
            ValueError: If an id has no row.
        """
        wanted = np.asarray(ids, dtype=np.str_)
        if not len(self) or not len(wanted):
            found = np.zeros(len(wanted), dtype=np.intp)
            missing = np.ones(len(wanted), dtype=bool)
        else:
            position = np.minimum(np.searchsorted(self._sorted_ids, wanted), len(self) - 1)
            found = self._order[position]
            missing = self._sorted_ids[position] != wanted
        if missing.any():
            raise ValueError(
                f"expected outputs of all {len(wanted)} rows, got none for {int(missing.sum())} of them, "
                f"such as {str(wanted[missing][0])!r}"
            )
        return self.take(found)

    @abstractmethod
    def take(self, rows: npt.NDArray[np.intp]) -> Self:
        """Return the rows at these positions, ``(n,)``."""

    @property
    @abstractmethod
    def correct(self) -> npt.NDArray[Any]:
        """Score of every row in [0, 1], ``(N,)``: right or wrong, or the share of answer tokens that are right."""

    @property
    @abstractmethod
    def true_probability(self) -> Array:
        """Confidence ``s`` in the right answer, ``(N,)``."""

    @property
    @abstractmethod
    def log_odds(self) -> Array:
        """``log s - log(1 - s)``, ``(N,)``, exact where ``s`` itself has rounded to 0 or 1."""

    @property
    @abstractmethod
    def entropy(self) -> Array:
        """Entropy of the predicted distribution in nats, ``(N,)``."""

    @abstractmethod
    def is_finite(self) -> bool:
        """Whether no number is NaN or infinite."""

    @abstractmethod
    def is_constant(self) -> bool:
        """Whether every row has the same prediction."""

    @abstractmethod
    def equals(self, other: Self) -> bool:
        """Whether both are equal, number by number."""

    @abstractmethod
    def paired(self, other: Self) -> tuple[Array, Array, npt.NDArray[np.intp]]:
        """Return log-probabilities of this and the other model over the same events, ``(M, K)`` each, and their rows.

        A row may have several lines: one per answer token.
        """

    @abstractmethod
    def flip(self, rows: npt.NDArray[np.intp], generator: np.random.Generator) -> Self:
        """Return outputs that are wrong in these rows, with the same confidence."""

    @abstractmethod
    def most_frequent(self) -> int:
        """Return the true class, or the token, that occurs most often."""

    @abstractmethod
    def constant(self, prediction: int) -> Self:
        """Return outputs that predict one class or token everywhere, with high confidence."""

    @abstractmethod
    def to_table(self) -> pa.Table:
        """Return the rows as they are stored."""
