"""Membership inference attacks as papers on unlearning run them: trained on one model's outputs, without references.

Members are retain rows and non-members test rows, unless stated otherwise. An attack is good or bad only beside its
value for the retrained models: accuracy far above ½ may also mean that forget rows look less seen than test rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mubench.trainers.inference.outputs import Array, Outputs
from mubench.trainers.metrics.attacks import MAX_FALSE_POSITIVES, true_positives_at
from mubench.trainers.metrics.case import Case, NotDefined
from mubench.trainers.metrics.row_values import ROW_VALUES, first_by_hash, hash_ranks, loss, row_labels

# Rows of each side that the support vector machine is trained on; its cost grows with the square of their number.
MAX_SVC_ROWS = 500
SPLITS, HELD_OUT = 5, 0.1
# Each split holds out one row of either side at least.
MIN_ROWS = 10


@lru_cache(maxsize=64)
def share_taken_for_unseen(feature: str, forget: Outputs, retain: Outputs, test: Outputs) -> float:
    """Return the share of forget rows that a support vector machine takes for non-members, in [0, 1].

    As in SalUn (arXiv:2310.12508) and l1-sparse (arXiv:2304.04934): C = 3, radial basis functions, gamma "auto", as
    many retain as test rows. At most 500 rows of each side are used, those with the smallest hashes of their ids.

    Args:
        feature: The one number per row, a key of ``ROW_VALUES``.
        forget: Outputs on the rows that are classified; all of them are.
        retain: Outputs on members.
        test: Outputs on non-members.
    """
    from sklearn.svm import SVC  # noqa: PLC0415  (lists of metrics need no scikit-learn)

    size = min(MAX_SVC_ROWS, len(retain), len(test))
    values, counts = zip(
        *(np.unique(ROW_VALUES[feature](first_by_hash(one, size)), return_counts=True) for one in (test, retain)),
        strict=True,
    )
    member = np.repeat([0, 1], [len(values[0]), len(values[1])])
    # Equal rows are one row with their number as its weight, which is the same optimum.
    machine = SVC(C=3, kernel="rbf", gamma="auto")
    machine.fit(np.concatenate(values)[:, None], member, sample_weight=np.concatenate(counts))
    support, weights = machine.support_vectors_[:, 0], machine.dual_coef_[0]
    distinct, rows = np.unique(ROW_VALUES[feature](forget), return_counts=True)
    # Its own `predict` takes four times as long; "auto" is 1 for one feature.
    parts = np.array_split(distinct, 1 + len(distinct) // 1000)
    decision = np.concatenate([np.exp(-((part[:, None] - support) ** 2)) @ weights for part in parts])
    return float(rows[decision + machine.intercept_[0] <= 0].sum() / rows.sum())


def svc_attack(feature: str) -> Callable[[Case], float]:
    """Return the metric that is `share_taken_for_unseen` by one feature: "MIA" in the tables of SalUn."""
    return lambda case: share_taken_for_unseen(feature, case.model["forget"], case.model["retain"], case.model["test"])


def best_threshold(member: Array, other: Array) -> float:
    """Return the smallest threshold of the best balanced accuracy, where values from it on mean membership.

    Args:
        member: Values of members, ``(n,)``.
        other: Values of non-members, ``(m,)``.
    """
    candidates = np.unique(np.concatenate([member, other]))
    missed = np.searchsorted(np.sort(member), candidates) / len(member)
    rejected = np.searchsorted(np.sort(other), candidates) / len(other)
    return float(candidates[np.argmax(rejected - missed)])


def threshold_attack(feature: str, sign: int) -> Callable[[Case], float]:
    """Return the metric that is the balanced accuracy of an attack with a threshold per class (arXiv:2003.10595).

    The thresholds best separate retain rows from one half of the test rows, drawn by the hash of their ids; they are
    applied to forget rows, as members, and to the other half. A class that lacks rows of either side gets the
    threshold of all classes. ½ means that forget rows look like test rows.

    Args:
        feature: A key of ``ROW_VALUES``.
        sign: 1 if members have large values, -1 if they have small ones.
    """

    def compute(case: Case) -> float:
        forget, retain, test = (case.model[name] for name in ("forget", "retain", "test"))
        shadow = hash_ranks(test) % 2 == 0
        if len(test) < 2:
            raise NotDefined(f"expected 2 test rows, got {len(test)}")
        seen, unseen, member = (sign * ROW_VALUES[feature](one) for one in (retain, test, forget))
        drawn, other = unseen[shadow], unseen[~shadow]
        own, theirs, rest = row_labels(retain), row_labels(test)[shadow], row_labels(test)[~shadow]
        thresholds = dict.fromkeys(np.union1d(row_labels(forget), row_labels(test)), best_threshold(seen, drawn))
        for label in np.intersect1d(own, theirs):
            thresholds[label] = best_threshold(seen[own == label], drawn[theirs == label])
        found, missed = (
            (values >= [thresholds[label] for label in labels]).mean()
            for values, labels in ((member, row_labels(forget)), (other, rest))
        )
        return float((found + 1 - missed) / 2)

    return compute


@lru_cache(maxsize=16)
def _splits(size: int) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Return the rows to fit and to hold out of every split of ``size`` rows of either side."""
    from sklearn.model_selection import StratifiedShuffleSplit  # noqa: PLC0415  (lists of metrics need no scikit-learn)

    splits = StratifiedShuffleSplit(n_splits=SPLITS, test_size=HELD_OUT, random_state=0)
    return list(splits.split(np.zeros(2 * size), np.repeat([0, 1], size)))


@lru_cache(maxsize=64)
def _scrub_accuracy(forget: Outputs, test: Outputs) -> float:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  (lists of metrics need no scikit-learn)

    alike = test.take(np.flatnonzero(np.isin(row_labels(test), row_labels(forget))))
    size = min(len(forget), len(alike))
    if size < MIN_ROWS:
        raise NotDefined(f"expected {MIN_ROWS} forget rows and as many test rows of their classes, got {size}")
    values = np.concatenate([loss(first_by_hash(one, size)) for one in (alike, forget)])[:, None]
    member = np.repeat([0, 1], size)
    models = ((LogisticRegression().fit(values[fit], member[fit]), out) for fit, out in _splits(size))
    return float(np.mean([(model.predict(values[out]) == member[out]).mean() for model, out in models]))


def scrub_attack(case: Case) -> float:
    """Return the accuracy of logistic regression on the loss, forget against test rows (SCRUB, arXiv:2302.09880).

    As many rows of each side, drawn by the hash of their ids, test rows of the classes of forget rows only; the mean
    over 5 stratified shuffled splits that hold out a tenth. Losses above 100 count as 100.

    Raises:
        NotDefined: If there are fewer than 10 rows of a side.
    """
    return _scrub_accuracy(case.model["forget"], case.model["test"])


def entropy_attack(case: Case) -> float:
    """Return the share of forget rows taken for members by balanced logistic regression on entropy (SSD).

    arXiv:2308.07707. Bad Teaching (arXiv:2205.08096) uses a support vector machine instead: 1 - ``svc_entropy``.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415  (lists of metrics need no scikit-learn)

    retain, test = case.model["retain"].entropy, case.model["test"].entropy
    member = np.repeat([1, 0], [len(retain), len(test)])
    model = LogisticRegression(class_weight="balanced").fit(np.concatenate([retain, test])[:, None], member)
    return float(model.predict(case.model["forget"].entropy[:, None]).mean())


def low_false_positive_attack(case: Case) -> float:
    """Return the true-positive rate of the loss attack at 1 % false positives (arXiv:2112.03570), in [0, 1]."""
    return true_positives_at(case.model["forget"].log_odds, case.model["test"].log_odds, MAX_FALSE_POSITIVES)
