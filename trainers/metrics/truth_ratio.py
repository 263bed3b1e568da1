"""Truth ratio, probability, model utility and forget quality of TOFU (arXiv:2401.06121).

The truth ratio of a row is ``R = (prod_a p(a))^(1/A) / p(paraphrase)``: ``a`` runs over ``A`` wrong answers, and ``p``
is the probability of an answer to the power of one over its tokens. The mean over wrong answers is geometric, as in
the public code; the paper has the arithmetic mean. Rows without a paraphrase, such as those about real authors, have
the answer itself in its place.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.inference.token_outputs import TokenOutputs
from mubench.trainers.metrics.case import Case
from mubench.trainers.metrics.evidence import SplitOutputs
from mubench.trainers.metrics.rouge import rouge_on, row_rouge

Array = npt.NDArray[np.float64]
# The two parts of TOFU's rows about other things; where rows have neither, all of them are one part.
PARTS = ("real_authors", "world_facts")


def log_truth_ratio(outputs: Outputs) -> Array:
    """Return ``log R`` of every row, ``(N,)``; NaN where a row has no wrong answers."""
    if not isinstance(outputs, TokenOutputs) or outputs.answers is None:
        return np.full(len(outputs), np.nan)
    answers = outputs.answers
    right = np.where(np.isnan(answers.paraphrase_loss), outputs.loss, answers.paraphrase_loss)
    known = ~np.isnan(answers.perturbed_losses)
    wrong = np.where(known, answers.perturbed_losses, 0).sum(axis=1)
    count = known.sum(axis=1)
    return right - np.divide(wrong, count, out=np.full(len(outputs), np.nan), where=count > 0)


def ratio_rows(outputs: Outputs) -> int:
    """Return the number of rows with a truth ratio."""
    return int(np.isfinite(log_truth_ratio(outputs)).sum())


def forget_form(log_ratio: Array) -> float:
    """Return the mean of ``min(R, 1/R)``, in [0, 1]: 1 if wrong answers are as probable as the right one."""
    return float(np.nanmean(np.exp(-np.abs(log_ratio))))


def utility_form(log_ratio: Array) -> float:
    """Return the mean of ``max(0, 1 - R)``, in [0, 1]: 1 if wrong answers have no probability."""
    return float(np.nanmean(np.maximum(0, -np.expm1(log_ratio))))


def truth_ratio(case: Case) -> float:
    """Return the forget form on forget rows."""
    return forget_form(log_truth_ratio(case.model["forget"]))


def probability(case: Case) -> float:
    """Return the mean of the true answers' probabilities, each to the power of one over its tokens, in [0, 1]."""
    return float(case.model["forget"].true_probability.mean())


def _option_probability(outputs: TokenOutputs) -> Array:
    """Return the share of the true answer in the probabilities of all options, ``(N,)``; NaN without options."""
    losses = np.zeros((len(outputs), 0)) if outputs.answers is None else outputs.answers.option_losses
    every = np.nansum(np.exp(-losses), axis=1)
    return np.divide(outputs.true_probability, every, out=np.full(len(outputs), np.nan), where=every > 0)


def _parts(model: SplitOutputs) -> Iterator[tuple[Outputs, bool]]:
    """Yield the parts that utility is measured on, and whether their probability is that among the options."""
    yield model["retain"], False
    ood = model["ood"]
    groups = ood.answers.group if isinstance(ood, TokenOutputs) and ood.answers is not None else np.empty(0)
    found = [rows for part in PARTS if len(rows := np.flatnonzero(groups == part))]
    yield from ((ood.take(rows), True) for rows in found or [np.arange(len(ood))])


def model_utility(case: Case) -> float:
    """Return the harmonic mean of probability, ROUGE-L recall and truth ratio on three parts, in [0, 1].

    The parts are retain rows, real authors and world facts; on the latter two the probability is that among the
    options. Where ood rows are not of these two groups, as on the mini tier, they are one part, and the mean is over
    six values.
    """
    from scipy.stats import hmean  # noqa: PLC0415  (slow to import)

    values = []
    for outputs, options in _parts(case.model):
        if not isinstance(outputs, TokenOutputs):
            raise TypeError(f"expected outputs on tokens, got {type(outputs).__name__}")
        sure = _option_probability(outputs) if options else outputs.true_probability
        values += [float(np.nanmean(sure)), float(np.nanmean(row_rouge(outputs)))]
        values.append(utility_form(log_truth_ratio(outputs)))
    return float(hmean(np.minimum(values, 1)))


def forget_quality(case: Case) -> float:
    """Return the p-value of a two-sample Kolmogorov-Smirnov test of truth ratios on forget rows, in (0, 1].

    Against several retrained models it is the median.
    """
    from scipy.stats import ks_2samp  # noqa: PLC0415  (slow to import)

    own = log_truth_ratio(case.model["forget"])
    others = [log_truth_ratio(outputs["forget"]) for outputs in case.retrained]
    return float(np.median([ks_2samp(own[~np.isnan(own)], one[~np.isnan(one)]).pvalue for one in others]))


def log_forget_quality(case: Case) -> float:
    """Return the decimal logarithm of forget quality, at least -300."""
    return float(np.log10(max(forget_quality(case), 1e-300)))


def tofu_numbers(model: SplitOutputs, retrained: SplitOutputs) -> dict[str, float]:
    """Return the numbers of the TOFU paper for a model, by name; no test split is needed.

    Args:
        model: Its outputs on ``forget``, ``retain`` and ``ood`` rows, with generated texts.
        retrained: Those of a model that was retrained without the forget set.
    """
    case = Case(model, [retrained], [], 0.0)
    numbers = {
        "truth_ratio": truth_ratio,
        "probability": probability,
        "rouge_l": rouge_on("forget"),
        "model_utility": model_utility,
        "forget_quality": forget_quality,
    }
    return {name: compute(case) for name, compute in numbers.items()}
