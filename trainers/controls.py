"""Controls: models whose place on the scale is known beforehand. Every table shows them, none is ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mubench.hub_builders.outputs import Outputs
from mubench.trainers.metrics.case import Views

# In the order of the tables; where each should come out on S.
CONTROLS: dict[str, str] = {
    "retrain": "retrained, judged against the other retrained models: the noise floor, .8 and above",
    "retrain_keep50": "retrained with half of the forget rows kept: about .4 to .5",
    "flip_cheat": "base with random forget rows flipped until the mean score is right: below .1",
    "constant": "one class for every row: 0",
    "base": "untouched base model: 0",
}

# Runs that start from no base model: no draw of base seeds concerns them.
FROM_SCRATCH = ("retrain", "retrain_keep50")


def leave_one_out(retrained: Mapping[int, Views], seed: int) -> tuple[Views, dict[int, Views]]:
    """Return the retrained model of a seed, and the others it is to be judged against."""
    return retrained[seed], {other: views for other, views in retrained.items() if other != seed}


def flip_cheat(base: Views, retrained: Sequence[Views], *, seed: int) -> dict[str, Outputs]:
    """Return the base's outputs with random forget rows made wrong until the mean score is the retrained models'.

    A flipped row's true class trades its logit with another class, so the model stays as sure as it was.

    Args:
        base: Views of a base model.
        retrained: Views of the retrained models.
        seed: Which rows and classes.
    """
    forget = base["forget"]
    target = float(np.mean([views["forget"].correct.mean() for views in retrained]))
    generator = np.random.default_rng(seed)
    right = generator.permutation(np.flatnonzero(forget.correct))
    flipped = right[: max(0, round(len(right) - target * len(forget)))]
    true = forget.labels[flipped]
    wrong = (true + generator.integers(1, forget.logits.shape[1], size=len(flipped))) % forget.logits.shape[1]
    logits = forget.logits.copy()
    logits[flipped, true], logits[flipped, wrong] = logits[flipped, wrong], logits[flipped, true]
    return {**base, "forget": Outputs(forget.ids, logits, forget.labels)}


def constant(base: Views) -> dict[str, Outputs]:
    """Return outputs that are sure of the retain rows' most frequent class everywhere."""
    majority = int(np.bincount(base["retain"].labels).argmax())

    def fixed(outputs: Outputs) -> Outputs:
        logits = np.zeros_like(outputs.logits)
        logits[:, majority] = 10.0
        return Outputs(outputs.ids, logits, outputs.labels)

    return {split: fixed(outputs) for split, outputs in base.items()}
