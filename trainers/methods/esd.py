"""ESD: erases forget captions from a text-to-image model by negative guidance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch

from mubench.trainers.engine.losses import squared_error
from mubench.trainers.unlearning.kinds import TEXT_TO_IMAGE
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import NonNegative

# The name of cross-attention in `diffusers`, and the parts of a model outside its U-Net.
CROSS_ATTENTION = "attn2"
OUTSIDE_UNET = (".text_encoder.", ".vae.")


@dataclass
class EsdArguments(UnlearningArguments):
    """Arguments of `EsdTrainer`."""

    eta: NonNegative = field(default=1.0, metadata={"help": "Strength of the negative guidance (eta)."})
    trained: Annotated[str, ("xattn", "noxattn", "all")] = field(
        default="xattn",
        metadata={"help": "Weights to train: xattn (cross-attention to the caption), noxattn (all others) or all."},
    )


class EsdTrainer(UnlearningTrainer):
    """Trains a text-to-image model to predict negatively guided noise for the captions of the forget set.

    ``L = mean_forget |e(x_t, c) - [e_0(x_t, -) - eta (e_0(x_t, c) - e_0(x_t, -))]|^2`` over its dimensions: ``e`` is
    the predicted noise (or velocity), ``0`` marks the base model's, ``c`` the caption and ``-`` an empty one.

    Args:
        empty: Tokens of an empty caption, as long as all captions are; by default the tokenizer of
            ``processing_class`` encodes them.

    Requirements:
        Forget set; the retain set is not read. ``x_t`` is a noised image of the forget set, where the publication
        samples it from the model. The base model runs twice a step, since every step draws new noise.

    Relations:
        Trains neither the text encoder nor, by default, the rest of the U-Net; `NegGradTrainer` has no target at all.
    """

    paper = Paper("Erasing Concepts from Diffusion Models", "ICCV 2023", "2303.07345", "Gandikota et al.")
    kinds = TEXT_TO_IMAGE
    arguments = EsdArguments
    like = "neg_grad"
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
        processor: Any = self.processing_class
        self.tokenizer = getattr(processor, "tokenizer", processor)
        if empty is None and self.tokenizer is None:
            raise ValueError("expected empty= or processing_class= to encode an empty caption, got neither")
        self.empty = empty

    def prepare(self) -> None:
        """Keep the base model as the teacher, and freeze the weights that are not trained."""
        super().prepare()
        chosen = {"xattn": (True,), "noxattn": (False,), "all": (True, False)}[self.args.trained]
        weights = dict(self.model.named_parameters())
        unet = (name for name in weights if not any(part in f".{name}" for part in OUTSIDE_UNET))
        names = {name for name in unet if (f"{CROSS_ATTENTION}." in name) in chosen}
        if not any(weights[name].requires_grad for name in names):
            raise ValueError(f"expected a U-Net with weights for {self.args.trained!r}, got none")
        for name, weight in weights.items():
            weight.requires_grad_(weight.requires_grad and name in names)

    def without_caption(self, captions: torch.Tensor) -> torch.Tensor:
        """Return empty captions in the shape of the tokens ``(B, T)``."""
        tokens = list(self.tokenizer("")["input_ids"] if self.empty is None else self.empty)
        if missing := captions.shape[1] - len(tokens):
            tokens += [self.tokenizer.pad_token_id] * missing
        return torch.tensor(tokens, device=captions.device).expand(len(captions), -1)

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        conditional = self.teacher_logits("original", batch)
        empty = {**batch, "input_ids": self.without_caption(batch["input_ids"])}
        unconditional = self.teacher_logits("original", empty)
        target = unconditional - self.args.eta * (conditional - unconditional)
        values = squared_error(self.logits(model, batch), target)
        return [Term("forget", values[batch["forget"]])]
