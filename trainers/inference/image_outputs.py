"""`ImageOutputs`: a text-to-image model on a split: denoising losses, and the classes of its generated images.

Letters: ``N`` rows, ``K`` classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mubench.trainers.inference.outputs import Array, ClassOutputs, Outputs

# Fixed noise levels per row, whose losses are stored.
NOISE_LEVELS = 8
FEATURES = "features"
IMAGE_COLUMNS = ("example_id", "label", "logits", "losses")


@dataclass(frozen=True, eq=False)
class ImageOutputs(Outputs):
    """Denoising losses of ``N`` rows, and the image classifier's logits for an image generated from each caption.

    Attributes:
        classes: The classifier's logits for the generated images, and the rows' classes.
        losses: Mean squared errors at the fixed noise levels, ``(N, NOISE_LEVELS)`` float32; NaN is kept.
        features: What the last layer of the image classifier reads of a generated image and of the row's own image,
            ``(N,)`` objects each, a ``(2, D)`` float32 array or ``None`` in rows that were not chosen; ``None`` in
            outputs of earlier versions and other splits.
    """

    is_probability: ClassVar[bool] = False
    classes: ClassOutputs
    losses: npt.NDArray[np.float32]
    features: npt.NDArray[np.object_] | None = None

    def __post_init__(self) -> None:
        if self.losses.shape != (len(self.classes), NOISE_LEVELS):
            raise ValueError(f"expected ({len(self.classes)}, {NOISE_LEVELS}) losses, got {self.losses.shape}")
        if self.features is not None and self.features.shape != (len(self.classes),):
            raise ValueError(f"expected features of {len(self.classes)} rows, got {self.features.shape}")

    @property
    def ids(self) -> npt.NDArray[np.str_]:  # type: ignore[override]
        return self.classes.ids

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Whether a generated image is of the row's class, ``(N,)``."""
        return self.classes.correct

    @cached_property
    def true_probability(self) -> Array:
        """``s = -log(mean loss over the noise levels)``, ``(N,)``: a confidence, not a probability."""
        return -np.log(np.maximum(self.losses.astype(np.float64).mean(axis=1), 1e-12))

    @property
    def log_odds(self) -> Array:
        """``s`` itself, ``(N,)``: it is no probability and has no odds."""
        return self.true_probability

    @property
    def entropy(self) -> Array:
        """Entropy of the classes of a generated image in nats, ``(N,)``."""
        return self.classes.entropy

    def take(self, rows: npt.NDArray[np.intp]) -> ImageOutputs:
        features = None if self.features is None else self.features[rows]
        return ImageOutputs(self.classes.take(rows), self.losses[rows], features)

    def is_finite(self) -> bool:
        return bool(np.isfinite(self.losses).all()) and self.classes.is_finite()

    def is_constant(self) -> bool:
        return self.classes.is_constant()

    def equals(self, other: ImageOutputs) -> bool:
        return np.array_equal(self.losses, other.losses) and self.classes.equals(other.classes)

    def pair_log_probabilities(self, other: ImageOutputs) -> tuple[Array, Array, npt.NDArray[np.intp]]:
        """Return log-probabilities of the classes of both models' generated images; a row has one line."""
        return self.classes.pair_log_probabilities(other.classes)

    def flip(self, rows: npt.NDArray[np.intp], generator: np.random.Generator) -> ImageOutputs:
        """Return outputs with generated images of other classes in these rows, and the same losses."""
        return replace(self, classes=self.classes.flip(rows, generator), features=None)

    def with_log_odds(self, values: Array) -> ImageOutputs:
        """Return outputs with the same generated images, whose losses are scaled to these ``s``."""
        factor = np.exp(self.log_odds - values)[:, None]
        return replace(self, losses=(self.losses * factor).astype(np.float32))

    def most_frequent(self) -> int:
        return self.classes.most_frequent()

    def constant(self, prediction: int) -> ImageOutputs:
        """Return outputs with images of one class everywhere, and the loss of predicting no noise: 1."""
        return ImageOutputs(self.classes.constant(prediction), np.ones_like(self.losses))

    def to_table(self) -> pa.Table:
        values = pa.array(np.ascontiguousarray(self.losses, dtype=np.float32).reshape(-1))
        losses = pa.FixedSizeListArray.from_arrays(values, NOISE_LEVELS)
        table = self.classes.to_table().append_column("losses", losses)
        if self.features is None:
            return table
        lists = [None if pair is None else pair.reshape(-1) for pair in self.features]
        return table.append_column(FEATURES, pa.array(lists, pa.list_(pa.float32())))

    @classmethod
    def from_table(cls, table: pa.Table) -> ImageOutputs:
        losses = table["losses"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        features = None
        if FEATURES in table.column_names:
            features = np.empty(len(table), dtype=np.object_)
            for row, values in enumerate(table[FEATURES]):
                features[row] = values.values.to_numpy().reshape(2, -1) if values.is_valid else None
        return cls(ClassOutputs.from_table(table), losses.reshape(-1, NOISE_LEVELS), features)
