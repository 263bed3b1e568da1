"""Fréchet distance of generated to real images, in the features of the suite's own image classifier.

It has the formula of FID (arXiv:1706.08500) but other features than FID's Inception network: values compare models of
this suite only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mubench.trainers.inference.image_outputs import ImageOutputs
from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.metrics.case import Case

Array = npt.NDArray[np.float64]


def frechet_distance(first: Array, second: Array) -> float:
    """Return the squared Fréchet distance of the normal distributions fitted to two sets of features.

    It is ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``. The trace of the root is the sum of the singular values of
    ``X1 X2'`` by ``sqrt((n1 - 1) (n2 - 1))``, where ``X`` are features minus their mean: exact, also where there are
    fewer rows than features.

    Args:
        first: Features ``(n1, D)`` with ``n1 >= 2``.
        second: Features ``(n2, D)``.
    """
    means = first.mean(axis=0), second.mean(axis=0)
    left, right = (
        (values - mean) / np.sqrt(len(values) - 1) for values, mean in zip((first, second), means, strict=True)
    )
    root = np.linalg.svd(left @ right.T, compute_uv=False).sum()
    spread = np.square(left).sum() + np.square(right).sum()
    return float(max(np.square(means[0] - means[1]).sum() + spread - 2 * root, 0.0))


def _pairs(outputs: Outputs) -> list[npt.NDArray[np.float32]]:
    """Return the features of the chosen rows, ``(2, D)`` each."""
    features = outputs.features if isinstance(outputs, ImageOutputs) else None
    return [] if features is None else [pair for pair in features if pair is not None]


def feature_rows(outputs: Outputs) -> int:
    """Return the number of rows with features, or 0 if they are fewer than a covariance needs."""
    count = len(_pairs(outputs))
    return count if count > 1 else 0


def frechet_classifier(case: Case) -> float:
    """Return the distance of the images generated for test rows to the rows' own images."""
    features = np.stack(_pairs(case.model["test"])).astype(np.float64)
    return frechet_distance(features[:, 0], features[:, 1])
