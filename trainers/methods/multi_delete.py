"""MultiDelete: take apart what a model knows of a picture and its words together, and leave what it knows of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.batches import RANDOM_NUMBERS, model_inputs, select_rows
from mubench.trainers.tools.truncated_forward import mean_places, mean_words, watched
from mubench.trainers.unlearning.pairing import pair_rows
from mubench.trainers.unlearning.teachers import frozen_forward
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer

WORDS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass
class MultiDeleteArguments(UnlearningArguments):
    """Arguments of `MultiDeleteTrainer`; the published weights are equal."""

    alpha: float = field(default=1.0, metadata={"help": "Weight of decoupling the forget rows."})
    beta: float = field(default=1.0, metadata={"help": "Weight of keeping the retain rows."})
    gamma: float = field(default=1.0, metadata={"help": "Weight of keeping picture and words of forget rows alone."})
    head: str = field(
        default="classifier", metadata={"help": "Module that is given the representation of picture and words."}
    )
    words: str = field(default="vilt.embeddings.text_embeddings", metadata={"help": "Module that reads words alone."})
    pictures: str = field(
        default="vilt.embeddings.patch_embeddings", metadata={"help": "Module that sees pictures alone."}
    )

    def __post_init__(self) -> None:
        """Refuse weights that are none."""
        super().__post_init__()
        if min(self.alpha, self.beta, self.gamma) < 0:
            raise ValueError(f"alpha, beta and gamma must be 0 or more, got {self.alpha}, {self.beta}, {self.gamma}")


def derangement(count: int, draw: np.random.Generator) -> np.ndarray:
    """Return a random order in which nothing stays in its place, shape ``(count,)``.

    Raises:
        ValueError: If there are not two things at least.
    """
    if count < 2:
        raise ValueError(f"expected 2 forget rows or more, whose words can be exchanged, got {count}")
    circle = draw.permutation(count)
    order = np.empty(count, dtype=np.int64)
    order[circle] = np.roll(circle, 1)
    return order


def distance(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of representations ``(b, D)``, shape ``(b,)``."""
    return (one - other).pow(2).mean(dim=1)


class MultiDeleteTrainer(UnlearningTrainer):
    """Moves forget pairs to where the base model has their pictures with other words, and holds the rest.

    ``L = alpha mean_forget |g(i, t) - g_0(i, t')|^2 + beta mean_retain |g - g_0|^2 + gamma mean_forget (|v - v_0|^2 +
    |w - w_0|^2)``, each over its width: ``g`` is the representation of picture ``i`` and words ``t`` that the head is
    given, ``v`` and ``w`` those of either alone, ``0`` marks the base model's, and ``t'`` are the words of another
    forget row, drawn once.

    An epoch goes through the forget rows, each with a retain row that is drawn for it.

    Args:
        model: The base model. ViLT has no encoders of its own for pictures and words: its embeddings are taken.
        args: `MultiDeleteArguments`; a batch size counts pairs.
        teacher: Takes the place of the frozen base model.

    Requirements:
        Forget and retain rows with the words of a text beside pictures, two forget rows at least. The head stays.

    Relations:
        `RmuTrainer` moves representations to one random point, this to those of pairs that do not belong together.
    """

    paper = Paper("MultiDelete for Multimodal Machine Unlearning", "ECCV 2024", "2311.12047", "Cheng and Amiri")
    kinds = ("image_pair_classification",)
    arguments = MultiDeleteArguments
    args: MultiDeleteArguments
    per_weight = True
    uses_teacher = True

    def prepare(self) -> None:
        """Keep the base model as the teacher, exchange the words of the forget rows, and freeze the head."""
        named = {self.args.head, self.args.words, self.args.pictures}
        if missing := named - {name for name, _ in self.model.named_modules()}:
            raise ValueError(f"head, words and pictures must be modules of the model, got {', '.join(missing)}")
        self.teachers = {"original": self.frozen_original()}
        self.model.get_submodule(self.args.head).requires_grad_(False)  # no distance reaches it
        rows = [self.train_dataset[row][0] for row in self.forget_rows]  # type: ignore[index]
        self.exchanged = [
            {**row, **{name: rows[other][name] for name in WORDS if name in row}}
            for row, other in zip(rows, derangement(len(rows), self.generator("words")), strict=True)
        ]

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: the forget rows, each with a retain row."""
        return [pair_rows(self.forget_rows, self.retain_rows, self.generator(f"pairs {epoch}"))]

    def representations(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Return what a model makes of rows, by ``both``, ``words`` and ``pictures``, shape ``(B, D)`` each."""
        inner, names = self.accelerator.unwrap_model(model), (self.args.words, self.args.pictures)
        said, both = watched(model, inner, names, self.args.head, model_inputs(batch))
        words = mean_words(said[self.args.words][0], batch["attention_mask"])
        seen = [mean_places(one, batch.get("pixel_mask"), at) for at, one in enumerate(said[self.args.pictures])]
        return {"both": both.float(), "words": words, "pictures": torch.cat(seen, dim=1)}

    def original(self, batch: Mapping[str, Any], like: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return what the base model makes of rows, asked about each once, in the widths of ``like``."""
        teacher = self.teachers["original"]

        def compute(rest: Mapping[str, Any]) -> torch.Tensor:
            with frozen_forward(teacher), self.accelerator.autocast():
                return torch.cat(list(self.representations(teacher, rest).values()), dim=1)

        whole = self.teacher_cache.lookup(teacher, "representations", batch, compute)
        return dict(zip(like, whole.split([part.shape[1] for part in like.values()], dim=1), strict=True))

    def exchanged_batch(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the forget rows of a batch with other words; they count as rows behind all others."""
        behind = len(self.train_dataset)
        rows = batch["index"][batch["forget"]].tolist()
        collated = self.train_collator([(self.exchanged[row], behind + row, True) for row in rows])
        if RANDOM_NUMBERS in batch:  # the images are augmented like those of the original rows
            collated[RANDOM_NUMBERS] = batch[RANDOM_NUMBERS][batch["forget"]]
        return self._prepare_inputs(collated)

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the three distances."""
        now, forget = self.representations(model, batch), batch["forget"]
        parts = {name: part[forget] for name, part in now.items()}
        apart = kept = alone = now["both"].sum(dim=1)[:0]
        if forget.any():
            old, other = (
                self.original(rows, now) for rows in (select_rows(batch, forget), self.exchanged_batch(batch))
            )
            apart = distance(parts["both"], other["both"])
            alone = distance(parts["words"], old["words"]) + distance(parts["pictures"], old["pictures"])
        if not forget.all():
            kept = distance(now["both"][~forget], self.original(select_rows(batch, ~forget), now)["both"])
        return [
            Term("forget", apart, self.args.alpha),
            Term("retain", kept, self.args.beta),
            Term("forget", alone, self.args.gamma),
        ]
