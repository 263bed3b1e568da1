"""How much of the true answers a language model has memorised, and attacks on its least probable tokens.

All read teacher-forced outputs on answer tokens: ``N`` rows, ``M`` tokens of all rows together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.inference.token_outputs import TokenOutputs
from mubench.trainers.metrics.attacks import auc
from mubench.trainers.metrics.case import Case

Array = npt.NDArray[np.float64]
Score = Callable[[TokenOutputs], Array]
# Share of the tokens that min-k reads: the default of its authors, and that of MUSE for PrivLeak.
SHARE, MUSE_SHARE = 0.2, 0.4
# Below it a distribution is one token, and its deviation is rounding.
SMALLEST_STD = 1e-6


def tokens(outputs: Outputs) -> TokenOutputs:
    """Return outputs on tokens as such.

    Raises:
        TypeError: If they are others.
    """
    if not isinstance(outputs, TokenOutputs):
        raise TypeError(f"expected outputs on tokens, got {type(outputs).__name__}")
    return outputs


def token_rows(outputs: Outputs) -> int:
    """Return the number of rows with outputs on tokens."""
    return len(outputs) if isinstance(outputs, TokenOutputs) else 0


def moment_rows(outputs: Outputs) -> int:
    """Return the number of rows with mean and deviation of the log-probabilities of every token."""
    return 0 if not isinstance(outputs, TokenOutputs) or outputs.token_std is None else len(outputs)


def answer_words(outputs: TokenOutputs) -> npt.NDArray[np.bool_]:
    """Return which tokens are not the end token, ``(M,)``: that of more than half of the rows, if nowhere else.

    Texts without prompts have no end token.
    """
    last = np.cumsum(outputs.lengths) - 1
    end = np.bincount(outputs.token_id[last]).argmax()
    is_end = outputs.token_id == end
    ends_rows = is_end.sum() == is_end[last].sum() > len(outputs) / 2
    return ~is_end if ends_rows else np.ones(len(is_end), dtype=np.bool_)


def exact_memorisation(outputs: TokenOutputs) -> float:
    """Return the mean share of a row's answer tokens that are the most likely ones, end token apart, in [0, 1]."""
    kept = answer_words(outputs)
    length = np.bincount(outputs.row, weights=kept, minlength=len(outputs))
    right = np.bincount(outputs.row, weights=kept & outputs.token_correct, minlength=len(outputs))
    return float((right[length > 0] / length[length > 0]).mean())


def extraction_strength(outputs: TokenOutputs) -> float:
    """Return the mean of ``1 - k / L`` over rows, in [0, 1]: from token ``k`` of ``L`` on every token is predicted.

    It is 0 where the last one is not. The end token is left out: every model predicts it.
    """
    kept = answer_words(outputs)
    starts = np.cumsum(outputs.lengths) - outputs.lengths
    place = np.arange(len(outputs.token_id)) - starts[outputs.row] + 1
    length = np.bincount(outputs.row, weights=kept, minlength=len(outputs))
    first = np.maximum.reduceat(np.where(kept & ~outputs.token_correct, place, 0), starts)
    return float((1 - first[length > 0] / length[length > 0]).mean())


def lowest_mean(values: npt.NDArray[np.floating], lengths: npt.NDArray[np.int64], share: float) -> Array:
    """Return the mean of the lowest ``share`` of every row's tokens, at least one, ``(N,)``."""
    count = np.maximum(1, (share * lengths).astype(int))
    row = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((values, row))
    place = np.arange(len(values)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    chosen = place < count[row]
    return np.bincount(row[chosen], weights=values[order][chosen], minlength=len(lengths)) / count


def min_k(outputs: TokenOutputs, share: float = SHARE) -> Array:
    """Return the mean log-probability of the least probable tokens of every row, ``(N,)`` (arXiv:2310.16789)."""
    return lowest_mean(outputs.token_logprob.astype(np.float64), outputs.lengths, share)


def min_k_plus_plus(outputs: TokenOutputs, share: float = SHARE) -> Array:
    """Return the same of ``(log p - mean) / deviation`` over the vocabulary, ``(N,)`` (arXiv:2404.02936).

    Raises:
        ValueError: If the outputs lack mean and deviation, as those of earlier versions do.
    """
    if outputs.token_mean is None or outputs.token_std is None:
        raise ValueError("expected mean and deviation of the log-probabilities of every token, got none")
    std = np.maximum(outputs.token_std.astype(np.float64), SMALLEST_STD)
    return lowest_mean((outputs.token_logprob - outputs.token_mean) / std, outputs.lengths, share)


def on_forget(measure: Callable[[TokenOutputs], float]) -> Callable[[Case], float]:
    """Return the metric of a measure on forget rows."""
    return lambda case: measure(tokens(case.model["forget"]))


def auc_of(score: Score) -> Callable[[Case], float]:
    """Return the metric that is the AUC of a score of rows, forget against test: 1 if forget rows are memorised."""
    return lambda case: auc(score(tokens(case.model["forget"])), score(tokens(case.model["test"])))


def priv_leak(case: Case) -> float:
    """Return PrivLeak of MUSE (arXiv:2407.06460) in %: 0 as retrained, below under-unlearned, above over-unlearned.

    It is ``(a - b) / b`` with ``a`` the AUC of min-k, test against forget rows, and ``b`` its mean over retrained
    models.
    """

    def area(forget: Outputs, test: Outputs) -> float:
        return 1 - auc(min_k(tokens(forget), MUSE_SHARE), min_k(tokens(test), MUSE_SHARE))

    retrained = float(np.mean([area(one["forget"], one["test"]) for one in case.retrained]))
    # Half a pair is the least that an AUC can differ from 0.
    least = 0.5 / (len(case.model["forget"]) * len(case.model["test"]))
    return 100 * (area(case.model["forget"], case.model["test"]) - retrained) / max(retrained, least)
