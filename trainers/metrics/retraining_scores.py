"""Aggregate scores of papers, for comparison: none of them resists a model that only matches averages."""

from __future__ import annotations

import numpy as np

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.metrics.accuracy import accuracy
from mubench.trainers.metrics.case import Case
from mubench.trainers.metrics.classical_attacks import scrub_attack, share_taken_for_unseen
from mubench.trainers.metrics.divergence import js
from mubench.trainers.metrics.evidence import SplitOutputs
from mubench.trainers.metrics.row_values import class_outputs


def _tug_of_war(case: Case, forget: list[float]) -> float:
    """Return the product of ``1 - |m(u) - m(R)|`` over forget, retain and test rows, given ``m`` on forget rows.

    ``forget`` holds the judged model's value, then those of the retrained models.
    """
    models = [case.model, *case.retrained]
    columns = [forget, *([accuracy(model, split) for model in models] for split in ("retain", "test"))]
    return float(np.prod([1 - abs(own - np.mean(others)) for own, *others in columns]))


def tug_of_war(case: Case) -> float:
    """Return ToW, the product of ``1 - |accuracy - accuracy of retrained|`` over three splits (arXiv:2406.01257)."""
    return _tug_of_war(case, [accuracy(model, "forget") for model in (case.model, *case.retrained)])


def _unseen(model: SplitOutputs) -> float:
    return share_taken_for_unseen("confidence", model["forget"], model["retain"], model["test"])


def tug_of_war_mia(case: Case) -> float:
    """Return ToW-MIA: ToW with the attack ``svc_confidence`` in place of forget accuracy (arXiv:2406.01257)."""
    return _tug_of_war(case, [_unseen(model) for model in (case.model, *case.retrained)])


def nomus(test: float, attack: float) -> float:
    """Return ``½ test + ½ (1 - 2 |attack - ½|)``, of a test accuracy and an attack's accuracy, both in [0, 1]."""
    return test / 2 + (1 - 2 * abs(attack - 0.5)) / 2


def normalized_score(case: Case) -> float:
    """Return NoMUS (arXiv:2311.02240) with the attack ``scrub_mia``.

    Raises:
        NotDefined: If there are too few rows for the attack.
    """
    return nomus(accuracy(case.model, "test"), scrub_attack(case))


def knowledge_gap(case: Case) -> float:
    """Return ``(1 + accuracy on retain - accuracy on forget rows) / 2``, in [0, 1]; ½ is no gap.

    MU-Bench (arXiv:2406.14796) averages the AUC of correctness, retain against forget rows, over random samples of
    equal size: this is its expectation.
    """
    return (1 + accuracy(case.model, "retain") - accuracy(case.model, "forget")) / 2


def zero_retrain_forgetting(forget: Outputs, teacher: Outputs) -> float:
    """Return ``1 - mean JS(p(x), t(x))`` in nats over forget rows, in [1 - ln 2, 1] (arXiv:2205.08096).

    Args:
        forget: Outputs of the model.
        teacher: Outputs ``t`` of an incompetent teacher on the same rows.
    """
    own, others = class_outputs(forget).log_probabilities, class_outputs(teacher).log_probabilities
    return 1 - float(js(own, others).mean())


def zrf_uniform(case: Case) -> float:
    """Return ZRF with a teacher that gives every class the same probability.

    It needs no model, and is the same teacher for all; that of the paper is in `zrf`. Values compare with none that
    were made with another teacher.
    """
    forget = class_outputs(case.model["forget"])
    uniform = np.full_like(forget.logits, 0)
    return zero_retrain_forgetting(forget, type(forget)(forget.ids, uniform, forget.labels))


def zrf(case: Case) -> float:
    """Return ZRF with the paper's teacher, a randomly initialised model of the same config.

    The authors' code divides by the number of classes too, and has the arguments of the divergence exchanged: its
    values are nearer 1.

    Raises:
        ValueError: If there are no outputs of such a model, or none of a forget row.
    """
    if case.random is None:
        raise ValueError("expected outputs of a randomly initialised model, got none")
    forget = case.model["forget"]
    return zero_retrain_forgetting(forget, case.random.select(forget.ids))
