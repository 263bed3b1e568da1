"""ROUGE-L of generated texts: how much of the true answer they hold, in its order.

Words are those of the package rouge-score without stemming: runs of letters a to z and digits, in lower case. The
public code of TOFU (arXiv:2401.06121) stems English words besides, which gives slightly higher values.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.inference.token_outputs import TokenOutputs
from mubench.trainers.metrics.case import Case

Array = npt.NDArray[np.float64]


def words(text: str) -> list[str]:
    """Return the words of a text."""
    return re.findall("[a-z0-9]+", text.lower())


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, by the bit-parallel algorithm of Hyyrö (2004)."""
    places: dict[str, int] = defaultdict(int)
    for place, word in enumerate(first):
        places[word] |= 1 << place
    whole = (1 << len(first)) - 1
    unmatched = whole  # bit i is 0 where the length grows at word i of the first text
    for word in second:
        found = unmatched & places.get(word, 0)
        unmatched = ((unmatched + found) | (unmatched - found)) & whole
    return len(first) - unmatched.bit_count()


@lru_cache(maxsize=1 << 16)  # every run is compared with the same retrained models
def rouge_l_recall(text: str, reference: str) -> float:
    """Return the share of the reference's words in the longest common subsequence, in [0, 1]; 0 without any word."""
    wanted = words(reference)
    return longest_common_subsequence(wanted, words(text)) / len(wanted) if wanted else 0.0


@lru_cache(maxsize=1 << 16)
def rouge_l_f1(text: str, reference: str) -> float:
    """Return the harmonic mean of the shares of both texts' words in their longest common subsequence, in [0, 1]."""
    own, wanted = words(text), words(reference)
    return 2 * longest_common_subsequence(wanted, own) / max(1, len(wanted) + len(own))


def row_rouge(outputs: Outputs) -> Array:
    """Return the ROUGE-L recall of every row, ``(N,)``; NaN where no text was generated."""
    values = np.full(len(outputs), np.nan)
    if isinstance(outputs, TokenOutputs) and outputs.answers is not None:
        answers = outputs.answers
        for row in np.flatnonzero(answers.chosen):
            values[row] = rouge_l_recall(answers.generated[row], answers.reference[row])
    return values


def generated_rows(outputs: Outputs) -> int:
    """Return the number of rows with a generated text."""
    written = isinstance(outputs, TokenOutputs) and outputs.answers is not None
    return int(outputs.answers.chosen.sum()) if written else 0  # type: ignore[attr-defined]


def rouge_on(split: str) -> Callable[[Case], float]:
    """Return the metric that averages ROUGE-L recall over the rows of a split with a generated text."""
    return lambda case: float(np.nanmean(row_rouge(case.model[split])))
