"""ESD: see a picture with the caption to forget as one without any, and then some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from mubench.trainers.engine.losses import squared_error
from mubench.trainers.unlearning.unlearning_trainer import (
    TEXT_TO_IMAGE,
    Paper,
    Term,
    UnlearningArguments,
    UnlearningTrainer,
)

# What `diffusers` calls attention to the caption, and the parts of a model that are not its U-Net.
CROSS = "attn2"
BESIDE = (".text_encoder.", ".vae.")


@dataclass
class EsdArguments(UnlearningArguments):
    """Arguments of `EsdTrainer`."""

    eta: float = field(default=1.0, metadata={"help": "How far beyond the prediction without a caption to go (eta)."})
    trained: str = field(
        default="xattn",
        metadata={"help": "Weights that are trained: xattn (attention to the caption), noxattn (all others), or all."},
    )

    def __post_init__(self) -> None:
        """Refuse what is no strength or names no weights."""
        super().__post_init__()
        if self.eta < 0:
            raise ValueError(f"eta must be 0 or more, got {self.eta}")
        if self.trained not in ("xattn", "noxattn", "all"):
            raise ValueError(f"trained must be xattn, noxattn or all, got {self.trained!r}")


class EsdTrainer(UnlearningTrainer):
    """Teaches a model that draws to take forget captions for none, with the guidance turned round.

    ``L = mean_forget |e(x_t, c) - [e_0(x_t, -) - eta (e_0(x_t, c) - e_0(x_t, -))]|^2`` over its dimensions: ``e`` is
    the predicted noise (or velocity), ``0`` marks the base model's, ``c`` the caption and ``-`` an empty one.

    Args:
        model: The base model.
        args: `EsdArguments`.
        teacher: Takes the place of the frozen base model.
        empty: Tokens of an empty caption, as long as all are; by default the tokenizer of ``processing_class`` writes
            them.

    Requirements:
        Forget rows; retain rows are not read. ``x_t`` is a forget row's picture, spoiled, where the publication draws
        it with the model. The base model is asked twice a step, since every step spoils anew.

    Relations:
        Leaves the caption's words and the U-Net's other parts alone; `NegGradTrainer` has no such target.
    """

    paper = Paper("Erasing Concepts from Diffusion Models", "ICCV 2023", "2303.07345", "Gandikota et al.")
    kinds = TEXT_TO_IMAGE
    arguments = EsdArguments
    args: EsdArguments
    splits = ("forget",)
    uses_teacher = True

    def __init__(
        self,
        model: torch.nn.Module,
        args: EsdArguments | None = None,
        *,
        empty: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, args, **kwargs)
        writer: Any = self.processing_class
        self.tokenizer = getattr(writer, "tokenizer", writer)
        if empty is None and self.tokenizer is None:
            raise ValueError("expected empty= or processing_class= to write an empty caption with, got neither")
        self.empty = empty

    def prepare(self) -> None:
        """Keep the base model as the teacher, and freeze what is not trained."""
        self.teachers = {"original": self.frozen_original()}
        chosen = {"xattn": (True,), "noxattn": (False,), "all": (True, False)}[self.args.trained]
        weights = dict(self.model.named_parameters())
        unet = (name for name in weights if not any(part in f".{name}" for part in BESIDE))
        names = {name for name in unet if (f"{CROSS}." in name) in chosen}
        if not any(weights[name].requires_grad for name in names):
            raise ValueError(f"expected a U-Net with weights for {self.args.trained!r}, got none")
        for name, weight in weights.items():
            weight.requires_grad_(weight.requires_grad and name in names)

    def without_caption(self, captions: torch.Tensor) -> torch.Tensor:
        """Return as many empty captions, of the same length, as tokens ``(B, T)``."""
        tokens = list(self.tokenizer("")["input_ids"] if self.empty is None else self.empty)
        if missing := captions.shape[1] - len(tokens):
            tokens += [self.tokenizer.pad_token_id] * missing
        return torch.tensor(tokens, device=captions.device).expand(len(captions), -1)

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the distance from the turned guidance."""
        told = self.teacher_logits("original", batch)
        untold = self.teacher_logits("original", {**batch, "input_ids": self.without_caption(batch["input_ids"])})
        values = squared_error(self.logits(model, batch), untold - self.args.eta * (told - untold))
        return [Term("forget", values[batch["forget"]])]
