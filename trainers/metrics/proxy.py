"""P: a proxy of S without retrained models and test rows, to choose among the epochs of one run."""

from __future__ import annotations

import math

import numpy as np

from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.metrics.accuracy import accuracy, majority_baseline
from mubench.trainers.metrics.attacks import advantage, plain_placements
from mubench.trainers.metrics.case import NoSignal
from mubench.trainers.metrics.evidence import SplitOutputs


def chance_advantage(forget: int, others: int) -> float:
    """Return twice the standard deviation of a random attack's AUC: ``2 sqrt((n + m + 1) / (12 n m))``.

    Args:
        forget: Number ``n`` of forget rows.
        others: Number ``m`` of the rows that the attack separates them from.
    """
    return 2 * math.sqrt((forget + others + 1) / (12 * forget * others))


def _mean(model: SplitOutputs, base: SplitOutputs) -> float:
    """Return the distance of the forget score to the base's score on unseen rows, as a multiple of the base's."""
    unseen = accuracy(base, "validation")
    known = accuracy(base, "forget") - unseen
    if known <= 0:
        raise NoSignal(f"no signal: the base scores no better on forget than on validation rows ({known:+.3f})")
    return abs(accuracy(model, "forget") - unseen) / known


def _membership(model: SplitOutputs, base: SplitOutputs) -> float:
    """Return the advantage of the strongest plain attack beyond chance, as a multiple of that on the base."""
    strongest = [
        float(advantage(plain_placements(outputs["forget"], outputs["validation"]).mean(axis=0)).max())
        for outputs in (model, base)
    ]
    blind = chance_advantage(len(base["forget"]), len(base["validation"]))
    if strongest[1] <= blind:
        raise NoSignal(f"no signal: attacks on the base reach {strongest[1]:.3f}, no more than chance ({blind:.3f})")
    return max(strongest[0] - blind, 0) / (strongest[1] - blind)


def _utility(model: SplitOutputs, base: SplitOutputs) -> float:
    """Return the largest share of the base's score above chance that is lost on retain or validation rows."""
    chance = majority_baseline(base["validation"])
    lost = []
    for split in ("retain", "validation"):
        score = accuracy(base, split)
        if score <= chance:
            raise NoSignal(
                f"no signal: the base scores {score:.3f} on {split} rows, no more than a guess ({chance:.3f})"
            )
        lost.append(max(score - accuracy(model, split), 0) / (score - chance))
    return max(lost)


def _check_classes(base: SplitOutputs) -> None:
    """Refuse a forget set of whole classes, which a retrained model does not treat as it treats validation rows."""
    forget, retain = base["forget"], base["retain"]
    if (
        isinstance(forget, ClassOutputs)
        and isinstance(retain, ClassOutputs)
        and not np.isin(forget.labels, retain.labels).any()
    ):
        raise NoSignal("no signal: no retain row has a label of the forget rows, so validation rows are unlike them")


def proxy(model: SplitOutputs, base: SplitOutputs) -> float:
    """Return P: 1 if forget rows look unseen and no other score is lost, 0 for the base or a destroyed model.

    A retrained model treats forget rows as the base treats validation rows. With m = task score, F = forget, V =
    validation, B = base and u = the model:

        ``P = (1 - min(1, max(mean, membership))) (1 - min(1, utility))``

    - ``mean = |m_F(u) - m_V(B)| / (m_F(B) - m_V(B))``
    - ``membership = (A(u) - a)+ / (A(B) - a)``, ``A`` = max of ``2|AUC(F against V) - ½|`` over loss, correctness and
      entropy, ``a`` = `chance_advantage`
    - ``utility`` = max over V and retain of ``(m(B) - m(u))+ / (m(B) - chance)``

    It has no ``row`` part: which forget rows a retrained model still predicts is unknown without one. A model with
    random forget rows flipped cheats it, so it compares epochs of one run and ranks no methods.

    Args:
        model: Outputs of the model on ``forget``, ``retain`` (or a sample of it) and ``validation``.
        base: Outputs of the base model on the same rows.

    Returns:
        P, in [0, 1].

    Raises:
        NoSignal: If a part would divide by 0, or whole classes are forgotten.
    """
    _check_classes(base)
    worst = max(_mean(model, base), _membership(model, base))
    return (1 - min(1.0, worst)) * (1 - min(1.0, _utility(model, base)))
