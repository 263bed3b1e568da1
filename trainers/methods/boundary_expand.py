"""Boundary expand: trains the forget set towards a temporary extra class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.unlearning.kinds import CLASSIFICATION
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer


@dataclass
class BoundaryExpandArguments(UnlearningArguments):
    """Boundary expand has no arguments of its own."""


def final_layer(model: torch.nn.Module) -> torch.nn.Linear:
    """Return the last linear layer of a model, which computes its logits.

    Raises:
        ValueError: If there is none, or it has not as many outputs as the model has classes.
    """
    layers = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    classes = getattr(getattr(model, "config", None), "num_labels", None)
    if not layers or classes not in (None, layers[-1].out_features):
        got = f"one of {layers[-1].out_features}" if layers else "none"
        raise ValueError(f"expected a linear layer of {classes or 'K'} logits to add a class to, got {got}")
    return layers[-1]


def append_shadow(layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...], logits: torch.Tensor) -> torch.Tensor:
    """Append the logit of the shadow class in training mode; in eval mode the class does not exist."""
    return torch.cat([logits, layer.get_submodule("shadow")(inputs[0])], dim=-1) if layer.training else logits


class BoundaryExpandTrainer(UnlearningTrainer):
    """Trains the forget set towards a shadow class that exists during training only.

    ``L = mean_forget CE([z, z_shadow], K)``, with ``z_shadow`` a freshly initialised row of the final layer.

    Adding the row leaves the logits of the ``K`` classes unchanged; evaluation ignores it, and it is removed after
    training.

    Args:
        model: The base model; its logits come from a linear layer.

    Requirements:
        Forget set; the retain set and labels are not read.

    Relations:
        `BoundaryShrinkTrainer` uses existing classes instead of a new one.
    """

    paper = Paper(
        "Boundary Unlearning: Rapid Forgetting of Deep Networks via Shifting the Decision Boundary",
        "CVPR 2023", "2303.11570", "Chen et al.",
    )  # fmt: skip
    kinds = CLASSIFICATION
    adapted_kinds = ("text_classification", "audio_classification", "video_classification")
    arguments = BoundaryExpandArguments
    like = "neg_grad"
    per_weight = True
    splits = ("forget",)

    def prepare(self) -> None:
        """Add the row of the shadow class to the final layer."""
        self.layer = final_layer(self.model)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(self.generator("shadow class").integers(2**31)))
            shadow = torch.nn.Linear(self.layer.in_features, 1)
        self.layer.shadow = shadow.to(self.layer.weight)
        self.hook = self.layer.register_forward_hook(append_shadow)

    def finish(self, model: torch.nn.Module) -> None:
        """Remove the row of the shadow class."""
        self.hook.remove()
        del self.layer.shadow

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        logits = self.logits(model, batch)[batch["forget"]]
        return [Term("forget", per_example_loss(logits, logits.new_full((len(logits),), logits.shape[-1] - 1).long()))]
