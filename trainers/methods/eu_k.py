"""EU-k: reinitialises the last k blocks and trains them on the retain set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from mubench.trainers.engine.fresh_model import has_fresh, random_copy
from mubench.trainers.methods.cf_k import CfKArguments, CfKTrainer


@dataclass
class EuKArguments(CfKArguments):
    """Arguments of `EuKTrainer`."""


class EuKTrainer(CfKTrainer):
    """Reinitialises the last ``k`` blocks and everything after them, and trains them on the retain set.

    ``L = mean_retain CE(z, y)`` over the weights after the cut, which start from a fresh initialisation of the model's
    config; their buffers, such as the statistics of a BatchNorm, start afresh as well.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Args:
        args: `EuKArguments`; about as many epochs as the base model was trained for.
        fresh: A freshly initialised model; required if ``model`` is neither a `transformers` model nor has a method
            ``fresh``.

    Requirements:
        As `CfKTrainer`.

    Relations:
        Exact for the last k blocks alone, hence the name exact unlearning (EU-k); the other blocks keep what they
        learned. `RetrainTrainer` reinitialises all of them.
    """

    arguments = EuKArguments
    args: EuKArguments
    per_weight = True

    def __init__(
        self,
        model: torch.nn.Module,
        args: EuKArguments | None = None,
        *,
        fresh: torch.nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        if fresh is None and not has_fresh(model):
            raise ValueError(
                f"expected fresh= for a plain {type(model).__name__}, which cannot be reinitialised, got none"
            )
        super().__init__(model, args, **kwargs)
        self.fresh = fresh

    def prepare(self) -> None:
        """Freeze everything before the last ``k`` blocks and reinitialise the rest."""
        super().prepare()
        seed = int(self.generator("fresh blocks").integers(2**31))
        fresh = random_copy(self.model, seed) if self.fresh is None else self.fresh
        state, new = self.model.state_dict(), fresh.state_dict()
        with torch.no_grad():
            for name in (*self.split.last, *self.split.buffers):
                if name in state:  # buffers outside the state dict hold nothing learned
                    state[name].copy_(new[name])
