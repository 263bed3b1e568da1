"""What a model that draws says about every row: how well it tells noise from picture, and what its drawings show.

Letters: ``N`` rows, ``K`` classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mubench.trainers.inference.class_outputs import ClassOutputs
from mubench.trainers.inference.outputs import Array, Outputs

# Fixed draws of time and noise per row, whose losses reference outputs hold.
DRAWS = 8
PICTURE_COLUMNS = ("example_id", "label", "logits", "losses")


@dataclass(frozen=True, eq=False)
class PictureOutputs(Outputs):
    """Denoising losses of ``N`` rows, and the suite's classifier's logits for a picture drawn to each caption.

    Attributes:
        shown: What the classifier says of the drawings, and the classes they should show.
        losses: Mean squared errors of the fixed draws, ``(N, DRAWS)`` float32; a broken model's NaN is kept.
    """

    shown: ClassOutputs
    losses: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.losses.shape != (len(self.shown), DRAWS):
            raise ValueError(f"expected ({len(self.shown)}, {DRAWS}) losses, got {self.losses.shape}")

    @property
    def ids(self) -> npt.NDArray[np.str_]:  # type: ignore[override]
        """Example ids, ``(N,)``."""
        return self.shown.ids

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Whether a drawing shows the row's class, ``(N,)``."""
        return self.shown.correct

    @cached_property
    def true_probability(self) -> Array:
        """``s = -log(mean loss over the draws)``, ``(N,)``: no probability, but a confidence like one."""
        return -np.log(np.maximum(self.losses.astype(np.float64).mean(axis=1), 1e-12))

    @property
    def log_odds(self) -> Array:
        """``s`` itself, which has no odds, ``(N,)``."""
        return self.true_probability

    @property
    def entropy(self) -> Array:
        """Entropy of the classes that a drawing shows in nats, ``(N,)``."""
        return self.shown.entropy

    def take(self, rows: npt.NDArray[np.intp]) -> PictureOutputs:
        """Return the rows at these positions."""
        return PictureOutputs(self.shown.take(rows), self.losses[rows])

    def is_finite(self) -> bool:
        """Whether no loss and no logit is NaN or infinite."""
        return bool(np.isfinite(self.losses).all()) and self.shown.is_finite()

    def is_constant(self) -> bool:
        """Whether all drawings show one class."""
        return self.shown.is_constant()

    def equals(self, other: PictureOutputs) -> bool:
        """Whether both have the very same losses and logits."""
        return np.array_equal(self.losses, other.losses) and self.shown.equals(other.shown)

    def beside(self, other: PictureOutputs) -> tuple[Array, Array, npt.NDArray[np.intp]]:
        """Return log-probabilities of the classes that both models' drawings show; a row has one line."""
        return self.shown.beside(other.shown)

    def wronged(self, rows: npt.NDArray[np.intp], generator: np.random.Generator) -> PictureOutputs:
        """Return the same with drawings of other classes in some rows; what is said of noise stays."""
        return replace(self, shown=self.shown.wronged(rows, generator))

    def most_frequent(self) -> int:
        """Return the most frequent true class."""
        return self.shown.most_frequent()

    def fixed(self, answer: int) -> PictureOutputs:
        """Return outputs that draw one class everywhere, and expect no noise at all: a loss of 1."""
        return PictureOutputs(self.shown.fixed(answer), np.ones_like(self.losses))

    def table(self) -> pa.Table:
        """Return ids, labels, logits and losses as columns."""
        values = pa.array(np.ascontiguousarray(self.losses, dtype=np.float32).reshape(-1))
        return self.shown.table().append_column("losses", pa.FixedSizeListArray.from_arrays(values, DRAWS))

    @classmethod
    def from_table(cls, table: pa.Table) -> PictureOutputs:
        """Return what `table` stored."""
        losses = table["losses"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return cls(ClassOutputs.from_table(table.drop_columns(["losses"])), losses.reshape(-1, DRAWS))
