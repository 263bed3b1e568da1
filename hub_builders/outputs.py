"""What a model says about every row of a split: the one forward pass that all array metrics share, and its files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mubench.hub_builders.answers import Answers, Array
from mubench.hub_builders.token_outputs import TOKEN_COLUMNS, TokenOutputs

__all__ = ["Answers", "Outputs", "TokenOutputs", "read_outputs", "split_view", "write_outputs"]

COLUMNS = ("example_id", "label", "logits")


@dataclass(frozen=True, eq=False)
class Outputs(Answers):
    """Logits of ``N`` rows over ``K`` classes.

    Attributes:
        ids: Example ids, ``(N,)`` strings, no two alike.
        logits: ``(N, K)`` float32; a broken model's NaN is kept, so that it can be flagged.
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
        logits = self.logits.astype(np.float64)
        shifted = logits - logits.max(axis=1, keepdims=True)
        result: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return result

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """Softmax of the logits, ``(N, K)``."""
        return np.exp(self.log_probabilities)

    @cached_property
    def true_probability(self) -> npt.NDArray[np.float64]:
        """Probability ``s`` of the true class, ``(N,)``."""
        return np.exp(self.log_probabilities[np.arange(len(self)), self.labels])

    @cached_property
    def log_odds(self) -> npt.NDArray[np.float64]:
        """``log s - log(1 - s)``, ``(N,)``, exact where ``s`` itself has rounded to 0 or 1."""
        rows = np.arange(len(self))
        others = self.logits.astype(np.float64)
        true = others[rows, self.labels].copy()
        others[rows, self.labels] = -np.inf
        top = others.max(axis=1)
        return true - top - np.log(np.exp(others - top[:, None]).sum(axis=1))

    @cached_property
    def entropy(self) -> npt.NDArray[np.float64]:
        """Entropy of the predicted distribution in nats, ``(N,)``."""
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

    def take(self, rows: npt.NDArray[np.intp]) -> Outputs:
        """Return the rows at these positions."""
        return Outputs(self.ids[rows], self.logits[rows], self.labels[rows])

    def is_finite(self) -> bool:
        """Whether no logit is NaN or infinite."""
        return bool(np.isfinite(self.logits).all())

    def is_constant(self) -> bool:
        """Whether one class is the most likely one in every row."""
        return len(np.unique(self.predictions)) == 1

    def equals(self, other: Outputs) -> bool:
        """Whether both have the very same logits."""
        return np.array_equal(self.logits, other.logits)

    def beside(self, other: Outputs) -> tuple[Array, Array, npt.NDArray[np.intp]]:
        """Return both models' log-probabilities of the classes; a row has one line."""
        return self.log_probabilities, other.log_probabilities, np.arange(len(self))

    def wronged(self, rows: npt.NDArray[np.intp], generator: np.random.Generator) -> Outputs:
        """Return the same with the true class's logit traded for another one's in some rows."""
        classes = self.logits.shape[1]
        true = self.labels[rows]
        wrong = (true + generator.integers(1, classes, size=len(rows))) % classes
        logits = self.logits.copy()
        logits[rows, true], logits[rows, wrong] = logits[rows, wrong], logits[rows, true]
        return Outputs(self.ids, logits, self.labels)

    def most_frequent(self) -> int:
        """Return the most frequent true class."""
        return int(np.bincount(self.labels).argmax())

    def fixed(self, answer: int) -> Outputs:
        """Return outputs that are sure of one class everywhere."""
        logits = np.zeros_like(self.logits)
        logits[:, answer] = 10.0
        return Outputs(self.ids, logits, self.labels)

    def table(self) -> pa.Table:
        """Return ids, labels and logits as columns."""
        values = pa.array(np.ascontiguousarray(self.logits, dtype=np.float32).reshape(-1))
        return pa.table(
            {
                "example_id": pa.array(self.ids.tolist(), pa.string()),
                "label": pa.array(self.labels, pa.int64()),
                "logits": pa.FixedSizeListArray.from_arrays(values, self.logits.shape[1]),
            }
        )

    @classmethod
    def from_table(cls, table: pa.Table) -> Outputs:
        """Return what `table` stored."""
        width = table.schema.field("logits").type.list_size
        logits = table["logits"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return cls(
            ids=np.asarray(table["example_id"].to_pylist(), dtype=np.str_),
            logits=logits.reshape(-1, width),
            labels=table["label"].to_numpy(),
        )


def write_outputs(folder: str | Path, splits: Mapping[str, Answers]) -> None:
    """Write ``<folder>/<split>.parquet`` for every split; readers see the old folder, none, or the new one."""
    folder = Path(folder)
    fresh, old = (folder.with_name(f".{folder.name}.{word}-{os.getpid()}") for word in ("new", "old"))
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        for split, outputs in splits.items():
            pq.write_table(outputs.table(), fresh / f"{split}.parquet", compression="zstd")
        if folder.exists():
            folder.replace(old)
        fresh.replace(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _read(path: Path) -> Answers:
    try:
        table = pq.read_table(path).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"expected {path} to be a whole outputs file, got: {reason}") from error
    for kind, columns in ((Outputs, COLUMNS), (TokenOutputs, TOKEN_COLUMNS)):
        if set(columns) <= set(table.column_names):
            return kind.from_table(table)
    raise ValueError(f"expected {path} to be an outputs file, got the columns {', '.join(table.column_names)}")


def read_outputs(folder: str | Path) -> dict[str, Answers]:
    """Read what ``write_outputs`` wrote, by split.

    Raises:
        FileNotFoundError: If the folder holds no outputs.
        ValueError: If a file is damaged.
    """
    files = sorted(Path(folder).glob("*.parquet"))
    if not files:
        raise FileNotFoundError(f"expected outputs of a model in {folder}, got no .parquet file there")
    return {file.stem: _read(file) for file in files}


def split_view(
    splits: Mapping[str, Answers],
    forget_ids: Sequence[str] | npt.NDArray[np.str_],
    retain_ids: Sequence[str] | npt.NDArray[np.str_],
) -> dict[str, Answers]:
    """Return the splits as they are judged: ``forget`` and ``retain`` rows in place of ``train``.

    Raises:
        ValueError: If a row is on both sides, or on a side without outputs.
    """
    both = set(map(str, forget_ids)) & set(map(str, retain_ids))
    if both:
        raise ValueError(f"expected forget and retain to share no row, got {len(both)} such as {min(both)!r}")
    train = splits["train"]
    rest = {name: outputs for name, outputs in splits.items() if name != "train"}
    return {"forget": train.select(forget_ids), "retain": train.select(retain_ids), **rest}
