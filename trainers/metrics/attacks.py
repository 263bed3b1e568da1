"""Membership attacks: how well forget rows can be told from test rows by one number per row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.metrics.case import Case

Array = npt.NDArray[np.floating[Any]]

# logit(1 - 1e-6): beyond it a probability is as good as 0 or 1, and a difference of logits means nothing.
CLIP = float(np.log(1e6))


def placements(forget: Array, test: Array) -> npt.NDArray[np.float64]:
    """Return for each forget row the share of test rows below it, ties by half, ``(N_forget,)``."""
    ordered = np.sort(test)
    return (np.searchsorted(ordered, forget, "left") + np.searchsorted(ordered, forget, "right")) / (2 * len(ordered))


def auc(forget: Array, test: Array) -> float:
    """Return the probability that a forget row's value exceeds a test row's; ½ if they are alike."""
    return float(placements(forget, test).mean())


def advantage(area: Array | float) -> Any:
    """Return ``2|AUC - ½|``: 0 if the attack is blind, 1 if it never errs in either direction."""
    return 2 * np.abs(np.asarray(area) - 0.5)


def log_odds(outputs: Outputs) -> npt.NDArray[np.float64]:
    """Return ``logit s`` with ``s`` clipped to [1e-6, 1 - 1e-6], ``(N,)``."""
    return np.clip(outputs.log_odds, -CLIP, CLIP)


def plain_placements(forget: Outputs, test: Outputs) -> npt.NDArray[np.float64]:
    """Return the placements of the three attacks that need no reference: loss, correctness, entropy, ``(N, 3)``.

    The loss is ``log(1 + exp(-log_odds))``, so the log-odds order rows alike and never round to a tie.
    """
    columns = [
        placements(forget.log_odds, test.log_odds),
        placements(forget.correct.astype(float), test.correct.astype(float)),
        placements(forget.entropy, test.entropy),
    ]
    return np.stack(columns, axis=1)


def reference_placements(forget: Array, test: Array) -> npt.NDArray[np.float64]:
    """Return the placements of ``z`` and ``|z|``, the model's log-odds less the references' mean, ``(N, 2)``."""
    return np.stack([placements(forget, test), placements(np.abs(forget), np.abs(test))], axis=1)


def loss_mia(case: Case) -> float:
    """Return the AUC of low loss as a sign of membership: 1 = every forget row fits better than any test row."""
    return auc(case.model["forget"].log_odds, case.model["test"].log_odds)
