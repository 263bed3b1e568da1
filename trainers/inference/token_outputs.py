"""`TokenOutputs`: a language model on the answer tokens of a split, teacher-forced: its most likely tokens.

Letters: ``N`` rows, ``M`` answer tokens of all rows together, ``k`` most likely tokens that are stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mubench.trainers.inference.answers import Answers
from mubench.trainers.inference.outputs import Array, Outputs

KEPT = 20
TOKEN_COLUMNS = ("example_id", "token_id", "token_logprob", "token_correct", "top_id", "top_logprob")
MOMENTS = ("token_mean", "token_std")
SURE, UNSURE = -1e-3, -10.0
TINY = 1e-12


@dataclass(frozen=True, eq=False)
class TokenOutputs(Outputs):
    """Log-probabilities of the answer tokens of ``N`` rows.

    Attributes:
        ids: Example ids, ``(N,)`` strings, no two alike.
        lengths: Answer tokens of every row, ``(N,)``, at least 1 each.
        token_id: True tokens, row after row, ``(M,)`` int32.
        token_logprob: Their log-probabilities in nats, ``(M,)`` float32; NaN is kept.
        token_correct: Whether each is the most likely token, ``(M,)``.
        top_id: The ``k`` most likely tokens, best first, ``(M, k)`` int32.
        top_logprob: Their log-probabilities, ``(M, k)`` float32.
        token_mean: Mean of the log-probability of a token drawn from the model's distribution, in nats, ``(M,)``
            float32; ``None`` in outputs of earlier versions.
        token_std: Its standard deviation, ``(M,)`` float32; ``None`` likewise. Neither follows from the ``k`` tokens.
        answers: Written texts and losses on alternative answers; ``None`` where none were made.
    """

    ids: npt.NDArray[np.str_]
    lengths: npt.NDArray[np.int64]
    token_id: npt.NDArray[np.int32]
    token_logprob: npt.NDArray[np.float32]
    token_correct: npt.NDArray[np.bool_]
    top_id: npt.NDArray[np.int32]
    top_logprob: npt.NDArray[np.float32]
    token_mean: npt.NDArray[np.float32] | None = None
    token_std: npt.NDArray[np.float32] | None = None
    answers: Answers | None = None

    def __post_init__(self) -> None:
        tokens = int(self.lengths.sum())
        if self.lengths.shape != self.ids.shape or (self.lengths < 1).any():
            raise ValueError(f"expected at least 1 answer token in each of {len(self.ids)} rows, got fewer")
        found = {len(part) for part in (self.token_id, self.token_logprob, self.token_correct, self.top_id)}
        if found != {tokens} or self.top_id.shape != self.top_logprob.shape:
            raise ValueError(f"expected values of {tokens} tokens, got {', '.join(map(str, sorted(found)))}")
        if self.answers is not None and len(self.answers) != len(self.ids):
            raise ValueError(f"expected answers of {len(self.ids)} rows, got {len(self.answers)}")
        self.check_ids()

    @cached_property
    def row(self) -> npt.NDArray[np.intp]:
        """The row of every token, ``(M,)``."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def row_mean(self, values: npt.NDArray[np.generic]) -> Array:
        """Return the mean over the answer tokens of every row, ``(N,)``."""
        return np.bincount(self.row, weights=values.astype(np.float64), minlength=len(self)) / self.lengths

    @property
    def rest(self) -> Array:
        """Probability of all tokens but the ``k`` stored, ``(M,)``."""
        return np.clip(1 - np.exp(self.top_logprob.astype(np.float64)).sum(axis=1), 1e-12, 1)

    @cached_property
    def loss(self) -> Array:
        """Mean negative log-probability of the answer tokens of every row in nats, ``(N,)``."""
        return -self.row_mean(self.token_logprob)

    @cached_property
    def correct(self) -> Array:
        """Share of the answer tokens that are the most likely ones, ``(N,)``."""
        return self.row_mean(self.token_correct)

    @cached_property
    def true_probability(self) -> Array:
        """``s = exp(-loss)``, the geometric mean of the answer tokens' probabilities, ``(N,)``."""
        return np.exp(-self.loss)

    @cached_property
    def log_odds(self) -> Array:
        loss = np.maximum(self.loss, TINY)
        return -loss - np.log(-np.expm1(-loss))

    @cached_property
    def entropy(self) -> Array:
        """Mean entropy over the stored tokens and the rest as one event, in nats, ``(N,)``."""
        kept = self.top_logprob.astype(np.float64)
        return self.row_mean(-(np.exp(kept) * kept).sum(axis=1) - self.rest * np.log(self.rest))

    def take(self, rows: npt.NDArray[np.intp]) -> TokenOutputs:
        starts = np.concatenate([[0], np.cumsum(self.lengths)])
        parts = [np.arange(starts[row], starts[row + 1]) for row in rows]
        tokens = np.concatenate([np.arange(0), *parts])
        return TokenOutputs(
            self.ids[rows], self.lengths[rows], self.token_id[tokens], self.token_logprob[tokens],
            self.token_correct[tokens], self.top_id[tokens], self.top_logprob[tokens],
            token_mean=None if self.token_mean is None else self.token_mean[tokens],
            token_std=None if self.token_std is None else self.token_std[tokens],
            answers=None if self.answers is None else self.answers.take(rows),
        )  # fmt: skip

    def is_finite(self) -> bool:
        return bool(np.isfinite(self.token_logprob).all() and np.isfinite(self.top_logprob).all())

    def is_constant(self) -> bool:
        return len(np.unique(self.top_id[:, 0])) == 1

    def equals(self, other: TokenOutputs) -> bool:
        return np.array_equal(self.token_logprob, other.token_logprob)

    def pair_log_probabilities(self, other: TokenOutputs) -> tuple[Array, Array, npt.NDArray[np.intp]]:
        """Return both models' log-probabilities of the tokens stored for both, and of all others as one event.

        Divergences over these events are lower bounds of those over the vocabulary. A row has a line per token.
        """
        same = self.top_id[:, :, None] == other.top_id[:, None, :]  # (M, k, k)
        own = np.where(same.any(axis=2), self.top_logprob, -np.inf).astype(np.float64)
        position = same.argmax(axis=2)
        theirs = np.where(same.any(axis=2), np.take_along_axis(other.top_logprob, position, axis=1), -np.inf)
        return _with_rest(own), _with_rest(theirs.astype(np.float64)), self.row

    def flip(self, rows: npt.NDArray[np.intp], generator: np.random.Generator) -> TokenOutputs:
        """Return outputs whose true token trades places with the runner-up wherever it was right in these rows."""
        hit = np.isin(self.row, rows) & self.token_correct
        top_id, logprob = self.top_id.copy(), self.token_logprob.copy()
        top_id[hit, 0], top_id[hit, 1] = self.top_id[hit, 1], self.top_id[hit, 0]
        logprob[hit] = self.top_logprob[hit, 1]
        return replace(
            self, top_id=top_id, token_logprob=logprob, token_correct=self.token_correct & ~hit, answers=None
        )

    def with_log_odds(self, values: Array) -> TokenOutputs:
        """Return outputs with these log-odds: the answer tokens' log-probabilities of a row are scaled by one factor.

        All other tokens share what is left of each probability in their old proportions.
        """
        wanted = np.logaddexp(0, -values)  # -log of the logistic function
        scaled = self.token_logprob * (wanted / np.maximum(self.loss, TINY))[self.row]
        logprob = np.where(self.loss[self.row] < TINY, -wanted[self.row], scaled)
        rescale = _log_rest(logprob) - _log_rest(self.token_logprob.astype(np.float64))
        is_true = self.top_id == self.token_id[:, None]
        is_true[:, -1] |= ~is_true.any(axis=1) & (
            logprob > self.top_logprob[:, -1] + rescale
        )  # enters the most likely
        top_id = np.where(is_true, self.token_id[:, None], self.top_id)
        top_logprob = np.where(is_true, logprob[:, None], self.top_logprob + rescale[:, None])
        order = np.argsort(-top_logprob, axis=1, kind="stable")
        top_id = np.take_along_axis(top_id, order, axis=1)
        return replace(
            self,
            token_logprob=logprob.astype(np.float32),
            token_correct=top_id[:, 0] == self.token_id,
            top_id=top_id,
            top_logprob=np.take_along_axis(top_logprob, order, axis=1).astype(np.float32),
        )

    def most_frequent(self) -> int:
        return int(np.bincount(self.token_id).argmax())

    def constant(self, prediction: int) -> TokenOutputs:
        right = self.token_id == prediction
        top_id = np.broadcast_to(np.arange(self.top_id.shape[1], dtype=np.int32), self.top_id.shape) + prediction
        top_logprob = np.full_like(self.top_logprob, UNSURE)
        top_logprob[:, 0] = SURE
        logprob = np.where(right, SURE, UNSURE).astype(np.float32)
        return replace(
            self, token_logprob=logprob, token_correct=right, top_id=top_id, top_logprob=top_logprob,
            token_mean=None, token_std=None, answers=None,
        )  # fmt: skip

    def to_table(self) -> pa.Table:
        """Return one line per row; token values are lists, the stored tokens follow each other in one list."""
        starts = np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int32)
        width = self.top_id.shape[1]

        def lists(values: npt.NDArray[np.generic], per_token: int = 1) -> pa.ListArray:
            return pa.ListArray.from_arrays(pa.array(starts * per_token), pa.array(values.reshape(-1)))

        moments = {name: getattr(self, name) for name in MOMENTS}
        return pa.table(
            {
                "example_id": pa.array(self.ids.tolist(), pa.string()),
                "loss_sum": pa.array(self.loss * self.lengths, pa.float64()),
                "n_tokens": pa.array(self.lengths, pa.int64()),
                "token_id": lists(self.token_id),
                "token_logprob": lists(self.token_logprob),
                "token_correct": lists(self.token_correct),
                "top_id": lists(self.top_id, width),
                "top_logprob": lists(self.top_logprob, width),
                **{name: lists(values) for name, values in moments.items() if values is not None},
                **({} if self.answers is None else self.answers.to_columns()),
            }
        )

    @classmethod
    def from_table(cls, table: pa.Table) -> TokenOutputs:

        def flat(name: str) -> npt.NDArray[np.generic]:
            return table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)

        token_id = flat("token_id").astype(np.int32)
        shape = (len(token_id), -1)
        return cls(
            ids=np.asarray(table["example_id"].to_pylist(), dtype=np.str_),
            lengths=table["n_tokens"].to_numpy(),
            token_id=token_id,
            token_logprob=flat("token_logprob").astype(np.float32),
            token_correct=flat("token_correct").astype(bool),
            top_id=flat("top_id").astype(np.int32).reshape(shape),
            top_logprob=flat("top_logprob").astype(np.float32).reshape(shape),
            **{name: flat(name).astype(np.float32) for name in MOMENTS if name in table.column_names},
            answers=Answers.from_table(table),
        )


def _log_rest(logprob: Array) -> Array:
    """Return ``log(1 - p)`` of probabilities given as logarithms, at least that of ``TINY``."""
    return np.log(np.maximum(-np.expm1(logprob), TINY))


def _with_rest(kept: Array) -> Array:
    """Add one more event, everything else, to log-probabilities ``(M, k)``."""
    rest = np.log(np.clip(1 - np.exp(kept).sum(axis=1), 1e-12, 1))
    return np.concatenate([kept, rest[:, None]], axis=1)
