"""`Answers`: the texts that a language model writes for some rows of a split, and its losses on other answers to them.

Letters: ``N`` rows, ``A`` alternative answers, ``S`` sampled texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Array = npt.NDArray[np.float64]
# Columns beside those of `TokenOutputs`.
ANSWER_COLUMNS = ("generated", "reference", "group", "paraphrase_loss", "perturbed_losses", "option_losses")
SAMPLED = "sampled"
TEXTS = pa.list_(pa.string())


@dataclass(frozen=True, eq=False)
class Answers:
    """Written texts and losses on alternative answers, of the rows of a split; most rows may have neither.

    A loss is the mean negative log-probability of the tokens of an answer in nats, end token included.

    Attributes:
        generated: The text that greedy decoding gives for the prompt, ``(N,)``; ``None`` in rows that were not chosen.
        reference: The true answer as a text, ``(N,)``; ``None`` in the same rows.
        group: Group of the row, ``(N,)``; empty without groups, ``None`` in the same rows.
        paraphrase_loss: Loss on the true answer in other words, ``(N,)``; NaN where there is none.
        perturbed_losses: Losses on wrong answers in those words, ``(N, A)``; NaN where there are fewer.
        option_losses: Losses on all options of a choice, the true answer among them, ``(N, A)``; NaN likewise.
        sampled: Texts sampled from the model's distribution for the prompt, ``(N, S)``; ``None`` where there are
            fewer, as in most rows and in outputs of earlier versions.
    """

    generated: npt.NDArray[np.object_]
    reference: npt.NDArray[np.object_]
    group: npt.NDArray[np.object_]
    paraphrase_loss: Array
    perturbed_losses: Array
    option_losses: Array
    sampled: npt.NDArray[np.object_]

    def __post_init__(self) -> None:
        found = {len(getattr(self, name)) for name in (*ANSWER_COLUMNS, SAMPLED)}
        if len(found) != 1 or {self.perturbed_losses.ndim, self.option_losses.ndim, self.sampled.ndim} != {2}:
            raise ValueError(f"expected answers of equally many rows, got {', '.join(map(str, sorted(found)))}")

    def __len__(self) -> int:
        return len(self.generated)

    @property
    def chosen(self) -> npt.NDArray[np.bool_]:
        """Whether a text was generated for the row, ``(N,)``."""
        return np.array([text is not None for text in self.generated], dtype=np.bool_)

    def take(self, rows: npt.NDArray[np.intp]) -> Answers:
        """Return the rows at these positions, ``(n,)``."""
        return Answers(**{name: getattr(self, name)[rows] for name in (*ANSWER_COLUMNS, SAMPLED)})

    def among(self, rows: int, positions: npt.NDArray[np.intp]) -> Answers:
        """Return answers of this many rows: these at the positions, ``(n,)``, and none elsewhere."""
        values: dict[str, Any] = {}
        for name in (*ANSWER_COLUMNS, SAMPLED):
            own = getattr(self, name)
            values[name] = np.full((rows, *own.shape[1:]), None if own.dtype == np.object_ else np.nan, own.dtype)
            values[name][positions] = own
        return Answers(**values)

    def to_columns(self) -> dict[str, pa.Array]:
        """Return the columns as they are stored; ``from_table`` reads them."""
        texts = {
            name: pa.array(getattr(self, name).tolist(), pa.string()) for name in ("generated", "reference", "group")
        }
        return {
            **texts,
            "paraphrase_loss": pa.array(self.paraphrase_loss, from_pandas=False),
            "perturbed_losses": _as_lists(self.perturbed_losses),
            "option_losses": _as_lists(self.option_losses),
            SAMPLED: pa.array([[text for text in row if text is not None] or None for row in self.sampled], TEXTS),
        }

    @classmethod
    def from_table(cls, table: pa.Table) -> Answers | None:
        """Return the answers in a table of outputs; ``None`` if it has none, as in outputs of earlier versions."""
        if not set(ANSWER_COLUMNS) <= set(table.column_names):
            return None
        texts: dict[str, Any] = {
            name: np.array(table[name].to_pylist(), dtype=np.object_) for name in ("generated", "reference", "group")
        }
        return cls(
            **texts,
            paraphrase_loss=table["paraphrase_loss"].to_numpy(),
            perturbed_losses=_as_matrix(table["perturbed_losses"]),
            option_losses=_as_matrix(table["option_losses"]),
            sampled=_as_texts(table[SAMPLED].to_pylist() if SAMPLED in table.column_names else [None] * len(table)),
        )


def _as_lists(values: Array) -> pa.Array:
    """Return every row's losses without NaN as a list."""
    known = ~np.isnan(values)
    starts = np.concatenate([[0], np.cumsum(known.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(starts), pa.array(values[known], pa.float64()))


def _as_matrix(column: pa.ChunkedArray) -> Array:
    """Return lists of losses as ``(N, A)``, NaN where a list is shorter than the longest."""
    lists = column.combine_chunks()
    lengths = np.diff(lists.offsets.to_numpy())
    values = np.full((len(column), lengths.max(initial=0)), np.nan)
    values[np.arange(values.shape[1]) < lengths[:, None]] = lists.flatten().to_numpy(zero_copy_only=False)
    return values


def _as_texts(lists: list[list[str] | None]) -> npt.NDArray[np.object_]:
    """Return lists of texts as ``(N, S)``, ``None`` where a list is shorter than the longest."""
    values = np.full((len(lists), max((len(one or ()) for one in lists), default=0)), None, dtype=np.object_)
    for row, texts in zip(values, lists, strict=True):
        row[: len(texts or ())] = texts or ()
    return values
