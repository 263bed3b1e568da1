"""`Outputs`: the outputs of a model on a split, rows by id, and the numbers that metrics read; those of a classifier.

Letters: ``N`` rows, ``K`` classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Array = npt.NDArray[np.float64]
COLUMNS = ("example_id", "label", "logits")


class Outputs(ABC):
    """The outputs of a model on ``N`` rows of a split.

    Attributes:
        ids: Example ids, ``(N,)`` strings, no two alike.
        is_probability: Whether `true_probability` is one, with odds, or a confidence on another scale.
    """

    ids: npt.NDArray[np.str_]
    is_probability: ClassVar[bool] = True

    def check_ids(self) -> None:
        """Raise ``ValueError`` if two rows have the same id."""
        if len(self._positions) < len(self):
            raise ValueError(f"expected {len(self)} different example ids, got {len(self._positions)}")

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return dict(zip(self.ids.tolist(), range(len(self)), strict=True))

    def select(self, ids: Sequence[str] | npt.NDArray[np.str_]) -> Self:
        """Return the rows with these ids, in their order.

        Raises:
            ValueError: If an id has no row.
        """
        wanted = np.asarray(ids, dtype=np.str_)
        found = np.fromiter(map(self._positions.get, wanted.tolist(), repeat(-1)), np.intp, len(wanted))
        missing = found < 0
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
    def pair_log_probabilities(self, other: Self) -> tuple[Array, Array, npt.NDArray[np.intp]]:
        """Return log-probabilities of this and the other model over the same events, ``(M, K)`` each, and their rows.

        A row may have several lines: one per answer token.
        """

    @abstractmethod
    def flip(self, rows: npt.NDArray[np.intp], generator: np.random.Generator) -> Self:
        """Return outputs that are wrong in these rows, with the same confidence."""

    @abstractmethod
    def with_log_odds(self, values: Array) -> Self:
        """Return outputs with these ``log_odds``, ``(N,)``; other answers keep their proportions to each other."""

    @abstractmethod
    def most_frequent(self) -> int:
        """Return the true class, or the token, that occurs most often."""

    @abstractmethod
    def constant(self, prediction: int) -> Self:
        """Return outputs that predict one class or token everywhere, with high confidence."""

    @abstractmethod
    def to_table(self) -> pa.Table:
        """Return the rows as they are stored; ``from_table`` of the class reads them."""


@dataclass(frozen=True, eq=False)
class ClassOutputs(Outputs):
    """Logits of ``N`` rows over ``K`` classes.

    Attributes:
        ids: Example ids, ``(N,)`` strings, no two alike.
        logits: ``(N, K)`` float32; NaN is kept, so that a diverged model can be flagged.
        labels: True classes, ``(N,)`` int64.
    """

    ids: npt.NDArray[np.str_]
    logits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        rows, shape = len(self.ids), self.logits.shape
        if len(shape) != 2 or shape[0] != rows or shape[1] < 2 or self.labels.shape != (rows,):
            raise ValueError(
                f"expected ({rows}, K >= 2) logits and ({rows},) labels for {rows} ids, "
                f"got {shape} and {self.labels.shape}"
            )
        if rows and (self.labels.min() < 0 or self.labels.max() >= shape[1]):
            raise ValueError(f"expected labels in 0..{shape[1] - 1}, got {self.labels.min()}..{self.labels.max()}")
        self.check_ids()

    @property
    def log_probabilities(self) -> npt.NDArray[np.float64]:
        """Log-softmax of the logits, ``(N, K)``."""
        logits = self.logits.astype(np.float64, order="F")  # sums over few classes are many times faster
        shifted = logits - logits.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """Softmax of the logits, ``(N, K)``."""
        return np.exp(self.log_probabilities)

    @cached_property
    def true_probability(self) -> npt.NDArray[np.float64]:
        return np.exp(self.log_probabilities[np.arange(len(self)), self.labels])

    @cached_property
    def log_odds(self) -> npt.NDArray[np.float64]:
        rows = np.arange(len(self))
        others = self.logits.astype(np.float64, order="F")
        true = others[rows, self.labels].copy()
        others[rows, self.labels] = -np.inf
        top = others.max(axis=1)
        return true - top - np.log(np.exp(others - top[:, None]).sum(axis=1))

    @cached_property
    def entropy(self) -> npt.NDArray[np.float64]:
        log_p = self.log_probabilities
        return -(np.exp(log_p) * log_p).sum(axis=1)

    @cached_property
    def predictions(self) -> npt.NDArray[np.int64]:
        """Most likely class, ``(N,)``."""
        return self.logits.argmax(axis=1).astype(np.int64)

    @cached_property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Whether the most likely class is the true one, ``(N,)``."""
        return self.predictions == self.labels

    def take(self, rows: npt.NDArray[np.intp]) -> ClassOutputs:
        return ClassOutputs(self.ids[rows], self.logits[rows], self.labels[rows])

    def is_finite(self) -> bool:
        return bool(np.isfinite(self.logits).all())

    def is_constant(self) -> bool:
        return len(np.unique(self.predictions)) == 1

    def equals(self, other: ClassOutputs) -> bool:
        return np.array_equal(self.logits, other.logits)

    def pair_log_probabilities(self, other: ClassOutputs) -> tuple[Array, Array, npt.NDArray[np.intp]]:
        """Return both models' log-probabilities of the classes; a row has one line."""
        return self.log_probabilities, other.log_probabilities, np.arange(len(self))

    def flip(self, rows: npt.NDArray[np.intp], generator: np.random.Generator) -> ClassOutputs:
        """Return outputs whose true class's logit trades places with another one's in these rows."""
        classes = self.logits.shape[1]
        true = self.labels[rows]
        wrong = (true + generator.integers(1, classes, size=len(rows))) % classes
        logits = self.logits.copy()
        logits[rows, true], logits[rows, wrong] = logits[rows, wrong], logits[rows, true]
        return ClassOutputs(self.ids, logits, self.labels)

    def with_log_odds(self, values: Array) -> ClassOutputs:
        logits = self.logits.copy()
        logits[np.arange(len(self)), self.labels] += (values - self.log_odds).astype(np.float32)
        return ClassOutputs(self.ids, logits, self.labels)

    def most_frequent(self) -> int:
        return int(np.bincount(self.labels).argmax())

    def constant(self, prediction: int) -> ClassOutputs:
        logits = np.zeros_like(self.logits)
        logits[:, prediction] = 10.0
        return ClassOutputs(self.ids, logits, self.labels)

    def to_table(self) -> pa.Table:
        values = pa.array(np.ascontiguousarray(self.logits, dtype=np.float32).reshape(-1))
        return pa.table(
            {
                "example_id": pa.array(self.ids.tolist(), pa.string()),
                "label": pa.array(self.labels, pa.int64()),
                "logits": pa.FixedSizeListArray.from_arrays(values, self.logits.shape[1]),
            }
        )

    @classmethod
    def from_table(cls, table: pa.Table) -> ClassOutputs:
        width = table.schema.field("logits").type.list_size
        logits = table["logits"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return cls(
            ids=np.asarray(table["example_id"].to_pylist(), dtype=np.str_),
            logits=logits.reshape(-1, width),
            labels=table["label"].to_numpy(),
        )
