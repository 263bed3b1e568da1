"""Membership inference attacks: how well one number per row separates forget rows from test rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.metrics.case import Case

Array = npt.NDArray[np.floating[Any]]

# logit(1 - 1e-6): beyond it probabilities are numerically 0 or 1, and differences of logits carry no information.
CLIP = float(np.log(1e6))


def placements(forget: Array, test: Array) -> npt.NDArray[np.float64]:
    """Return for each forget row the share of test rows below it, where ties count half, ``(N_forget,)``."""
    ordered = np.sort(test)
    return (np.searchsorted(ordered, forget, "left") + np.searchsorted(ordered, forget, "right")) / (2 * len(ordered))


def auc(forget: Array, test: Array) -> float:
    """Return the probability that a forget row's value exceeds a test row's, in [0, 1]; ½ for equal distributions."""
    return float(placements(forget, test).mean())


def advantage(area: Array | float) -> Any:
    """Return ``2|AUC - ½|``, in [0, 1]: 0 for a random attack, 1 for one without errors, in either direction."""
    return 2 * np.abs(np.asarray(area) - 0.5)


def log_odds(outputs: Outputs) -> npt.NDArray[np.float64]:
    """Return ``logit s`` with ``s`` clipped to [1e-6, 1 - 1e-6], ``(N,)``."""
    return np.clip(outputs.log_odds, -CLIP, CLIP)


def plain_placements(forget: Outputs, test: Outputs) -> npt.NDArray[np.float64]:
    """Return the placements of the three attacks without references: loss, correctness, entropy, ``(N, 3)``.

    The loss is ``log(1 + exp(-log_odds))``: the log-odds give the reverse order, without ties from rounding.
    """
    columns = [
        placements(forget.log_odds, test.log_odds),
        placements(forget.correct.astype(float), test.correct.astype(float)),
        placements(forget.entropy, test.entropy),
    ]
    return np.stack(columns, axis=1)


def reference_placements(forget: Array, test: Array) -> npt.NDArray[np.float64]:
    """Return the placements of ``z`` and ``|z|``, ``(N, 2)``; ``z`` is the log-odds minus the references' mean."""
    return np.stack([placements(forget, test), placements(np.abs(forget), np.abs(test))], axis=1)


def loss_mia(case: Case) -> float:
    """Return the AUC of the loss attack: 1 if every forget row has a lower loss than any test row."""
    return auc(case.model["forget"].log_odds, case.model["test"].log_odds)
