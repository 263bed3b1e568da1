"""Numbers of every row that attacks read, and choices of rows by the hash of their ids.

Letters: ``N`` rows, ``K`` classes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mubench.hub_builders.utils.hash_order import digest_words
from mubench.trainers.inference.image_outputs import ImageOutputs
from mubench.trainers.inference.outputs import Array, ClassOutputs, Outputs

# The smallest probability whose logarithm the authors of SalUn take, and the largest loss that those of SCRUB keep.
LOG_FLOOR = float(np.log(1e-30))
MAX_LOSS = 100.0


def class_outputs(outputs: Outputs) -> ClassOutputs:
    """Return the outputs over classes: a classifier's own, or those of the classifier that reads generated images.

    Raises:
        ValueError: If there are none: only the most likely tokens of a language model are stored.
    """
    if isinstance(outputs, ImageOutputs):
        return outputs.classes
    if isinstance(outputs, ClassOutputs):
        return outputs
    raise ValueError(f"expected outputs over classes, got {type(outputs).__name__}")


def row_labels(outputs: Outputs) -> npt.NDArray[np.int64]:
    """Return the true class of every row, ``(N,)``; rows without classes are all of class 0."""
    if isinstance(outputs, ImageOutputs | ClassOutputs):
        return class_outputs(outputs).labels
    return np.zeros(len(outputs), dtype=np.int64)


def loss(outputs: Outputs) -> Array:
    """Return the loss of every row, ``(N,)``, at most 100: cross-entropy in nats, or the mean denoising error."""
    if isinstance(outputs, ImageOutputs):
        return np.minimum(np.exp(-outputs.true_probability), MAX_LOSS)
    return np.minimum(np.logaddexp(0, -outputs.log_odds), MAX_LOSS)


def modified_entropy(outputs: Outputs) -> Array:
    """Return ``-(1 - p_y) log p_y - sum_(k != y) p_k log(1 - p_k)`` in nats, ``(N,)`` (arXiv:2003.10595).

    It is 0 for a sure right answer. Logarithms are at least log(1e-30), so a sure wrong answer has a finite value.

    Raises:
        ValueError: If the outputs are not over classes.
    """
    classes = class_outputs(outputs)
    rows, true = np.arange(len(classes)), classes.labels
    p = classes.probabilities
    log_true = np.maximum(classes.log_probabilities[rows, true], LOG_FLOOR)
    p_true = p[rows, true]
    p[rows, true] = 0
    with np.errstate(divide="ignore"):
        rest = (p * np.maximum(np.log1p(-np.minimum(p, 1)), LOG_FLOOR)).sum(axis=1)
    result: Array = -(1 - p_true) * log_true - rest
    return result


# The features of the attacks, by name.
ROW_VALUES: dict[str, Callable[[Outputs], Array]] = {
    "confidence": lambda outputs: outputs.true_probability,
    "entropy": lambda outputs: outputs.entropy,
    "modified_entropy": modified_entropy,
    "correctness": lambda outputs: outputs.correct.astype(np.float64),
}


@lru_cache(maxsize=64)
def hash_ranks(outputs: Outputs) -> npt.NDArray[np.int64]:
    """Return the place of every row in the order of the SHA-256 of ``attack:<example_id>``, ``(N,)``."""
    return _hash_ranks(outputs.ids.tobytes(), outputs.ids.dtype.str)


@lru_cache(maxsize=16)  # the models of a group have the same rows
def _hash_ranks(ids: bytes, dtype: str) -> npt.NDArray[np.int64]:
    words = digest_words(np.frombuffer(ids, dtype).tolist(), "attack")
    ranks = np.empty(len(words), dtype=np.int64)
    ranks[np.argsort(words[:, 0], kind="stable")] = np.arange(len(words))
    return ranks


def first_by_hash(outputs: Outputs, rows: int) -> Outputs:
    """Return the rows with the smallest hashes, at most ``rows``, in the order of their hashes."""
    ranks = hash_ranks(outputs)
    chosen = np.flatnonzero(ranks < rows)
    return outputs.take(chosen[np.argsort(ranks[chosen])])
