"""Controls: models whose place on the scale is known beforehand. Every table shows them, none is ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.metrics.case import SplitOutputs

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


def leave_one_out(retrained: Mapping[int, SplitOutputs], seed: int) -> tuple[SplitOutputs, dict[int, SplitOutputs]]:
    """Return the retrained model of a seed, and the others it is to be judged against."""
    return retrained[seed], {other: views for other, views in retrained.items() if other != seed}


def flip_cheat(base: SplitOutputs, retrained: Sequence[SplitOutputs], *, seed: int) -> dict[str, Outputs]:
    """Return the base's outputs with random forget rows made wrong until the mean score is the retrained models'.

    A flipped row's true answer trades its place with another, so the model stays as sure as it was.

    Args:
        base: Outputs of a base model.
        retrained: Outputs of the retrained models.
        seed: Which rows and answers.
    """
    forget = base["forget"]
    target = float(np.mean([views["forget"].correct.mean() for views in retrained]))
    generator = np.random.default_rng(seed)
    right = generator.permutation(np.flatnonzero(forget.correct))
    lost = np.cumsum(np.concatenate([[0.0], forget.correct[right].astype(float)]))
    excess = forget.correct.sum() - target * len(forget)
    flipped = right[: int(np.abs(lost - excess).argmin())]
    return {**base, "forget": forget.wronged(flipped, generator)}


def constant(base: SplitOutputs) -> dict[str, Outputs]:
    """Return outputs that are sure of the retain rows' most frequent class or token everywhere."""
    answer = base["retain"].most_frequent()
    return {split: outputs.fixed(answer) for split, outputs in base.items()}
