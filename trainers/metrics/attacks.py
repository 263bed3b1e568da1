"""Membership inference attacks: how well one number per row separates forget rows from test rows.

Letters: ``N`` forget rows, ``M`` test rows, ``A`` attacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.metrics.case import Case, NoSignal
from mubench.trainers.metrics.evidence import FOLDS, Array, Evidence, EvidenceRows, RowEvidence, likelihood

# logit(1 - 1e-6): beyond it probabilities are numerically 0 or 1, and differences of logits carry no information.
CLIP = float(np.log(1e6))
# Weight of models that saw a row in the offline estimate of its mean probability over models (arXiv:2312.03262).
RMIA_OFFLINE = 0.3
# Share of false alarms at which arXiv:2112.03570 reports the share of members found.
MAX_FALSE_POSITIVES = 0.01
ATTACKS = ("loss", "correctness", "entropy", "z", "absolute_z", "rmia", "logistic")


def placements(forget: npt.NDArray[Any], test: npt.NDArray[Any]) -> Array:
    """Return for each forget row the share of test rows below it, where ties count half, ``(N,)``."""
    order, others = np.argsort(forget), np.sort(test)
    rows = forget[order]  # a search for sorted values is many times faster
    shares = np.empty(len(rows))
    shares[order] = np.searchsorted(others, rows, "left") + np.searchsorted(others, rows, "right")
    return shares / (2 * len(others))


def auc(forget: npt.NDArray[Any], test: npt.NDArray[Any]) -> float:
    """Return the probability that a forget row's value exceeds a test row's, in [0, 1]; ½ for equal distributions."""
    return float(placements(forget, test).mean())


def advantage(area: npt.NDArray[Any] | float) -> Any:
    """Return ``2|AUC - ½|``, in [0, 1]: 0 for a random attack, 1 for one without errors, in either direction."""
    return 2 * np.abs(np.asarray(area) - 0.5)


def largest_advantage(areas: Array) -> Array:
    """Return the largest advantage of ``ATTACKS`` given their AUCs ``(..., A)``, shape ``(...)``.

    The logistic attack is fitted, so that its direction is fixed: an AUC below ½ counts as ½.
    """
    fitted = np.maximum(2 * (areas[..., -1] - 0.5), 0)
    largest: Array = np.maximum(advantage(areas[..., :-1]).max(axis=-1), fitted)
    return largest


def plain_placements(forget: Outputs | RowEvidence, test: Outputs | RowEvidence) -> Array:
    """Return the placements of the three attacks without references: loss, correctness, entropy, ``(N, 3)``.

    The loss is ``log(1 + exp(-log_odds))``: the log-odds give the reverse order, without ties from rounding.
    """
    pairs = zip(_plain(forget), _plain(test), strict=True)
    return np.stack([placements(one, other) for one, other in pairs], axis=1)


def _plain(rows: Outputs | RowEvidence) -> list[Array]:
    return [rows.log_odds, rows.correct.astype(np.float64), rows.entropy]


def rmia_ratio(log_odds: Array, others: Array, *, is_probability: bool = True) -> Array:
    """Return ``p(x | model) / p(x)``, ``(N,)``, with the offline estimate of ``p(x)`` (arXiv:2312.03262).

    ``p(x) = ½ ((1 + a) mean_k p(x | R_k) + 1 - a)``. A denoising loss has no probability whose maximum is 1: there
    ``p(x)`` is the mean itself.

    Args:
        log_odds: Log-odds of the model, ``(N,)``.
        others: Log-odds of models that did not see the rows, ``(K, N)``.
        is_probability: Whether the log-odds are those of a probability, as in `EvidenceRows`.
    """
    unseen = likelihood(others, is_probability=is_probability).mean(axis=0)
    weight = RMIA_OFFLINE if is_probability else 1.0
    return likelihood(log_odds, is_probability=is_probability) / (0.5 * ((1 + weight) * unseen + 1 - weight))


def reference_values(log_odds: Array, others: Array, *, is_probability: bool = True) -> list[Array]:
    """Return ``z``, ``|z|`` and the ratio of RMIA, ``(N,)`` each; arguments are those of `rmia_ratio`.

    ``z`` is the log-odds minus the other models' mean.
    """
    log_odds, others = np.clip(log_odds, -CLIP, CLIP), np.clip(others, -CLIP, CLIP)
    z = log_odds - others.mean(axis=0)
    return [z, np.abs(z), rmia_ratio(log_odds, others, is_probability=is_probability)]


def true_positives_at(forget: Array, test: Array, false_positives: float = MAX_FALSE_POSITIVES) -> float:
    """Return the largest share of forget rows above a threshold that at most a share of test rows is above.

    Args:
        forget: Values of members, ``(n,)``.
        test: Values of non-members, ``(m,)``.
        false_positives: The share of test rows, in [0, 1).
    """
    allowed = int(false_positives * len(test) + 1e-9)
    return float((forget > np.sort(test)[::-1][allowed]).mean())


def cross_validated_logistic(features: Array, member: npt.NDArray[np.bool_], folds: npt.NDArray[np.int64]) -> Array:
    """Return out-of-fold log-odds of membership by logistic regression, ``(n,)``.

    Features are standardised by the rows of the fit. The penalty is ``½‖w‖²`` beside the summed loss (C = 1), the
    intercept is free; Newton's method.

    Args:
        features: ``(n, d)``.
        member: Whether a row is a forget row, ``(n,)``.
        folds: Fold of each row, ``(n,)``.

    Raises:
        NoSignal: If all rows of a set are in one fold.
    """
    result, columns, weights = np.zeros(len(features)), features.T.copy(), np.zeros(features.shape[1] + 1)
    for fold in range(FOLDS):
        out = folds == fold
        if member[~out].all() or not member[~out].any():
            raise NoSignal("no signal: too few forget or test rows for a cross-validated attack")
        parts = columns[:, ~out], columns[:, out]
        center, scale = parts[0].mean(axis=1, keepdims=True), parts[0].std(axis=1, keepdims=True)
        scale[scale == 0] = 1
        fitted, held_out = (np.concatenate([(one - center) / scale, np.ones((1, one.shape[1]))]) for one in parts)
        weights = _fit_logistic(fitted, member[~out], start=weights)
        result[out] = weights @ held_out
    return result


def _fit_logistic(design: Array, member: npt.NDArray[np.bool_], start: Array) -> Array:
    """Return the weights of a logistic regression on ``(d + 1, n)`` with an unpenalised last line, ``(d + 1,)``."""
    signed = np.where(member, design, -design)
    penalty = np.ones(len(design))
    penalty[-1] = 0

    def evaluate(weights: Array) -> tuple[Array, float]:
        """Return the probability of every row's own side, ``(n,)``, and the loss."""
        right = 1 / (1 + np.exp(np.clip(-(weights @ signed), -500, 500)))
        return right, float(0.5 * (penalty * weights**2).sum() - np.log(right).sum())

    weights = start
    right, before = evaluate(weights)
    for _ in range(50):
        gradient = penalty * weights - signed @ (1 - right)
        curvature = (signed * (right * (1 - right))) @ signed.T + np.diag(penalty + 1e-9)
        step = np.linalg.solve(curvature, gradient)
        if np.abs(step).max() < 1e-7:  # the error is of the order of its square
            return weights - step
        right, after = evaluate(weights - step)
        while after > before and np.abs(step).max() > 1e-7:
            step = step / 2
            right, after = evaluate(weights - step)
        weights, before = weights - step, after
    return weights


@dataclass(frozen=True, eq=False)
class Attacks:
    """How every attack of ``ATTACKS`` places each row among those of the other set.

    Attributes:
        forget: Share of test rows below each forget row, ``(N, A)``; column means are the AUCs.
        test: Share of forget rows above each test row, ``(M, A)``.
    """

    forget: Array
    test: Array

    @property
    def areas(self) -> Array:
        """AUC of every attack, ``(A,)``."""
        return self.forget.mean(axis=0)


def weighted_areas(models: Sequence[Attacks], forget: Array, test: Array) -> Array:
    """Return AUCs for weights of rows, ``(J, models, A)``, to first order in their differences from uniform weights.

    Args:
        models: The attacks on every model.
        forget: Weights of forget rows, ``(J, N)``; lines sum to 1.
        test: Weights of test rows, ``(J, M)``; lines sum to 1.
    """
    placed = (np.concatenate([getattr(one, part) for one in models], axis=1) for part in ("forget", "test"))
    moved = sum(weights @ values for weights, values in zip((forget, test), placed, strict=True))
    areas: Array = moved - np.concatenate([one.areas for one in models])
    return areas.reshape(len(forget), len(models), -1)


def _attacks(forget: Sequence[Array], test: Sequence[Array]) -> Attacks:
    """Return the attacks by these values of forget rows, ``(N,)`` each, and test rows, ``(M,)`` each."""
    pairs = list(zip(forget, test, strict=True))
    return Attacks(
        forget=np.stack([placements(one, other) for one, other in pairs], axis=1),
        test=np.stack([1 - placements(other, one) for one, other in pairs], axis=1),
    )


@lru_cache(maxsize=64)
def _plain_attacks(model: Evidence) -> Attacks:
    """Return the attacks that need no references, which a model has in common beside all of them."""
    return _attacks(_plain(model.forget), _plain(model.test))


def run_attacks(model: Evidence, references: Sequence[Evidence], rows: EvidenceRows) -> Attacks:
    """Return the attacks of ``ATTACKS`` on a model, given retrained models that it is not among."""
    forget_others, test_others = zip(*((one.forget.log_odds, one.test.log_odds) for one in references), strict=True)
    forget, test = (
        reference_values(own.log_odds, np.stack(others), is_probability=rows.is_probability)
        for own, others in ((model.forget, forget_others), (model.test, test_others))
    )
    # The attack's score is the share of population rows with a smaller ratio; the population are the test rows.
    forget[-1], test[-1] = placements(forget[-1], test[-1]), placements(test[-1], test[-1])
    features = np.concatenate([[*_plain(model.forget), *forget], [*_plain(model.test), *test]], axis=1).T
    member = np.arange(len(features)) < len(forget[0])
    learned = cross_validated_logistic(features, member, rows.folds)
    plain = _plain_attacks(model)
    against = _attacks([*forget, learned[member]], [*test, learned[~member]])
    return Attacks(
        forget=np.concatenate([plain.forget, against.forget], axis=1),
        test=np.concatenate([plain.test, against.test], axis=1),
    )


def loss_mia(case: Case) -> float:
    """Return the AUC of the loss attack: 1 if every forget row has a lower loss than any test row."""
    return auc(case.model["forget"].log_odds, case.model["test"].log_odds)
