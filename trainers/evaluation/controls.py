"""Controls: models whose score is known beforehand. Every table shows them unranked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.metrics.evidence import SplitOutputs

# In the order of the tables, with the S that each should have.
CONTROLS: dict[str, str] = {
    "retrain": "retrained, judged against the other retrained models: the noise floor, .8 and above",
    "retrain_keep50": "retrained with half of the forget rows kept: about .4 to .5",
    "retrain_at": "retrained for a part of the recipe's passes: what a method's cost buys without it",
    "flip_cheat": "base with random forget rows flipped until the mean score is right: below .1",
    "quantile_cheat": "base with its confidences on forget rows replaced by those on validation rows, in their order: "
    "a table of outputs, which `row_shifted` detects",
    "constant": "one class for every row: 0",
    "base": "untouched base model: 0",
}

# Runs that start from a fresh model: resampled base seeds do not concern them.
FROM_SCRATCH = ("retrain", "retrain_keep50", "retrain_at")


def outputs_controls(base: SplitOutputs, retrained: Sequence[SplitOutputs], *, seed: int) -> dict[str, SplitOutputs]:
    """Return the outputs of the controls without a run of their own.

    Args:
        base: Outputs of a base model.
        retrained: Outputs of the retrained models.
        seed: Seed of the base model, and of random choices.
    """
    return {
        "base": base,
        "flip_cheat": flip_cheat(base, retrained, seed=seed),
        "quantile_cheat": quantile_cheat(base),
        "constant": constant(base),
    }


def flip_cheat(base: SplitOutputs, retrained: Sequence[SplitOutputs], *, seed: int) -> dict[str, Outputs]:
    """Return the base's outputs with random forget rows made wrong until the mean score is the retrained models'.

    The true class or token of a flipped row trades its place with another, so that the confidence stays.

    Args:
        base: Outputs of a base model.
        retrained: Outputs of the retrained models.
        seed: Seed of the rows and of what they are flipped to.
    """
    forget = base["forget"]
    target = float(np.mean([outputs["forget"].correct.mean() for outputs in retrained]))
    generator = np.random.default_rng(seed)
    right = generator.permutation(np.flatnonzero(forget.correct))
    lost = np.cumsum(np.concatenate([[0.0], forget.correct[right].astype(float)]))
    excess = forget.correct.sum() - target * len(forget)
    flipped = right[: int(np.abs(lost - excess).argmin())]
    return {**base, "forget": forget.flip(flipped, generator)}


def quantile_cheat(base: SplitOutputs) -> dict[str, Outputs]:
    """Return the base's outputs with forget rows as confident as unseen rows: its validation quantiles, in its order.

    The forget row with the n-th lowest log-odds gets the n-th of as many evenly spaced quantiles of the validation
    rows' log-odds; of equal ones the first comes first. No reference model is read. Outputs on slightly changed forget
    rows stay the base's: a table of answers has no entry for them.

    Args:
        base: Outputs of a base model, ``validation`` among them.
    """
    forget, validation = base["forget"], base["validation"]
    levels = (np.arange(len(forget)) + 0.5) / len(forget)
    log_odds = np.empty(len(forget))
    log_odds[np.argsort(forget.log_odds, kind="stable")] = np.quantile(validation.log_odds, levels)
    return {**base, "forget": forget.with_log_odds(log_odds)}


def constant(base: SplitOutputs) -> dict[str, Outputs]:
    """Return outputs that are sure of the retain rows' most frequent class or token everywhere."""
    prediction = base["retain"].most_frequent()
    return {split: outputs.constant(prediction) for split, outputs in base.items()}
