"""leak@k: what the best of k sampled texts holds of the true answer (arXiv:2511.04934).

Greedy decoding hides what a model still gives away when its distribution is sampled. Texts are sampled at
temperature 1 from the whole distribution; a text's score is its ROUGE-L recall of the true answer, as in `rouge_l`.

Letters: ``S`` sampled texts of a row.
"""

from __future__ import annotations

from math import comb

import numpy as np
import numpy.typing as npt

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.inference.token_outputs import TokenOutputs
from mubench.trainers.metrics.case import Case
from mubench.trainers.metrics.rouge import rouge_l_recall

Array = npt.NDArray[np.float64]
K = 4


def expected_best(scores: Array, k: int) -> float:
    """Return the unbiased estimate of the expected maximum of ``k`` scores, given ``S`` of them.

    It is the mean of the maximum over all subsets of ``k``: the j-th lowest score is that of ``C(j - 1, k - 1)`` among
    ``C(S, k)``.

    Args:
        scores: Scores of independent samples, ``(S,)``.
        k: Number of samples.

    Raises:
        ValueError: If there are fewer than ``k`` samples.
    """
    if not 1 <= k <= len(scores):
        raise ValueError(f"expected 1 to {len(scores)} samples as k, got {k}")
    weights = [comb(below, k - 1) / comb(len(scores), k) for below in range(len(scores))]
    return float(np.sort(scores) @ weights)


def _sampled_texts(outputs: Outputs) -> list[tuple[str, list[str]]]:
    """Return the true answer and the ``S`` sampled texts of every row with at least ``K`` of them."""
    if not isinstance(outputs, TokenOutputs) or outputs.answers is None:
        return []
    rows = zip(outputs.answers.reference, outputs.answers.sampled, strict=True)
    written = ((reference, [text for text in texts if text is not None]) for reference, texts in rows)
    return [(reference, texts) for reference, texts in written if len(texts) >= K]


def sampled_rows(outputs: Outputs) -> int:
    """Return the number of rows with enough sampled texts."""
    return len(_sampled_texts(outputs))


def leak(case: Case) -> float:
    """Return leak@4, the mean over forget rows with sampled texts, in [0, 1]."""
    rows = _sampled_texts(case.model["forget"])
    scores = [np.array([rouge_l_recall(text, reference) for text in texts]) for reference, texts in rows]
    return float(np.mean([expected_best(one, K) for one in scores]))
