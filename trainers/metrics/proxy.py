"""P: a stand-in for S that looks at no retrained model and at no test row. It chooses among the epochs of one run."""

from __future__ import annotations

import math

import numpy as np

from mubench.trainers.inference.class_outputs import ClassOutputs
from mubench.trainers.metrics.accuracy import accuracy, guessed
from mubench.trainers.metrics.attacks import advantage, plain_placements
from mubench.trainers.metrics.case import NoSignal, SplitOutputs


def blind_advantage(forget: int, others: int) -> float:
    """Return the advantage that an attack which knows nothing has by chance: one standard deviation of ``2|AUC - ½|``.

    Args:
        forget: Forget rows.
        others: Rows that they are to be told from.
    """
    return 2 * math.sqrt((forget + others + 1) / (12 * forget * others))


def _mean(model: SplitOutputs, base: SplitOutputs) -> float:
    """Return the distance of the forget score to that of rows the base never saw; 1 at the base."""
    unseen = accuracy(base, "validation")
    known = accuracy(base, "forget") - unseen
    if known <= 0:
        raise NoSignal(f"no signal: the base scores no better on forget than on validation rows ({known:+.3f})")
    return abs(accuracy(model, "forget") - unseen) / known


def _membership(model: SplitOutputs, base: SplitOutputs) -> float:
    """Return what the strongest plain attack tells beyond chance; 1 at the base."""
    strongest = [
        float(advantage(plain_placements(views["forget"], views["validation"]).mean(axis=0)).max())
        for views in (model, base)
    ]
    blind = blind_advantage(len(base["forget"]), len(base["validation"]))
    if strongest[1] <= blind:
        raise NoSignal(f"no signal: attacks on the base reach {strongest[1]:.3f}, no more than chance ({blind:.3f})")
    return max(strongest[0] - blind, 0) / (strongest[1] - blind)


def _utility(model: SplitOutputs, base: SplitOutputs) -> float:
    """Return the largest share of the base's score that is lost on retain or validation rows."""
    chance = guessed(base["validation"])
    lost = []
    for split in ("retain", "validation"):
        score = accuracy(base, split)
        if score <= chance:
            raise NoSignal(
                f"no signal: the base scores {score:.3f} on {split} rows, no more than a guess ({chance:.3f})"
            )
        lost.append(max(score - accuracy(model, split), 0) / (score - chance))
    return max(lost)


def _check_kin(base: SplitOutputs) -> None:
    """Refuse rows of whole classes: to a retrained model they are not what validation rows are to it."""
    forget, retain = base["forget"], base["retain"]
    if (
        isinstance(forget, ClassOutputs)
        and isinstance(retain, ClassOutputs)
        and not np.isin(forget.labels, retain.labels).any()
    ):
        raise NoSignal("no signal: no retain row has a label of the forget rows, so validation rows are unlike them")


def proxy(model: SplitOutputs, base: SplitOutputs) -> float:
    """Return P: 1 if forget rows look as if never seen and nothing else is lost, 0 untouched or destroyed.

    A retrained model treats forget rows as the base treats validation rows. With m = task score, F = forget, V =
    validation, B = base and u = the model:

        ``P = (1 - min(1, max(mean, membership))) (1 - min(1, utility))``

    - ``mean = |m_F(u) - m_V(B)| / (m_F(B) - m_V(B))``
    - ``membership = (A(u) - a)+ / (A(B) - a)``, ``A`` = max of ``2|AUC(F against V) - ½|`` over loss, correctness and
      entropy, ``a`` = what a blind attack has by chance
    - ``utility`` = max over V and retain of ``(m(B) - m(u))+ / (m(B) - chance)``

    It has no ``row``: which rows a retrained model would still know cannot be seen without one. Flipping random forget
    rows cheats it, so it compares epochs of one run and ranks nothing.

    Args:
        model: SplitOutputs ``forget``, ``retain`` (or a sample) and ``validation`` of the model.
        base: The same rows as the model saw them before it unlearned.

    Raises:
        NoSignal: If a part would divide by nothing, or whole classes are forgotten.
    """
    _check_kin(base)
    worst = max(_mean(model, base), _membership(model, base))
    return (1 - min(1.0, worst)) * (1 - min(1.0, _utility(model, base)))
