"""MultiDelete: decouples image and text of the forget pairs and retains their unimodal representations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.batches import RANDOM_NUMBERS, model_inputs, select_rows
from mubench.trainers.tools.truncated_forward import capture_outputs, masked_mean, spatial_mean
from mubench.trainers.unlearning.forget_retain import pair_rows
from mubench.trainers.unlearning.teachers import frozen_forward
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer

TEXT_COLUMNS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass
class MultiDeleteArguments(UnlearningArguments):
    """Arguments of `MultiDeleteTrainer`; the published weights are all equal."""

    alpha: float = field(default=1.0, metadata={"help": "Weight of decoupling the forget pairs."})
    beta: float = field(default=1.0, metadata={"help": "Weight of retaining the retain pairs."})
    gamma: float = field(default=1.0, metadata={"help": "Weight of retaining each modality of the forget pairs."})
    head: str = field(default="classifier", metadata={"help": "Module that takes the joint representation."})
    words: str = field(default="vilt.embeddings.text_embeddings", metadata={"help": "Module that encodes text alone."})
    pictures: str = field(default="vilt.embeddings.patch_embeddings", metadata={"help": "Module that encodes images."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.alpha, self.beta, self.gamma) < 0:
            raise ValueError(f"alpha, beta and gamma must be 0 or more, got {self.alpha}, {self.beta}, {self.gamma}")


def derangement(count: int, generator: np.random.Generator) -> np.ndarray:
    """Return a random permutation without a fixed point, shape ``(count,)``.

    Raises:
        ValueError: If ``count`` is below 2.
    """
    if count < 2:
        raise ValueError(f"expected 2 forget examples or more, whose texts can be exchanged, got {count}")
    cycle = generator.permutation(count)
    order = np.empty(count, dtype=np.int64)
    order[cycle] = np.roll(cycle, 1)
    return order


def distance(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of representations ``(b, D)``, shape ``(b,)``."""
    return (one - other).pow(2).mean(dim=1)


class MultiDeleteTrainer(UnlearningTrainer):
    """Decouples images from texts in the forget set and retains all other representations of the base.

    ``L = alpha mean_forget |g(i, t) - g_0(i, t')|^2 + beta mean_retain |g - g_0|^2 + gamma mean_forget (|v - v_0|^2 +
    |w - w_0|^2)``, each over its width: ``g`` is the joint representation of images ``i`` and text ``t`` (the input of
    the head), ``v`` and ``w`` are the unimodal ones, ``0`` marks the base model's, and ``t'`` is the text of another
    forget example, chosen once.

    An epoch is one pass over the forget set, each example paired with a sampled retain example.

    Args:
        model: The base model. ViLT has no separate encoders; its embeddings of image and text take their place.
        args: `MultiDeleteArguments`; a batch size counts pairs.
        teacher: Replaces the frozen base model.

    Requirements:
        Forget and retain sets of images with text, at least two forget examples. The head is not trained.

    Relations:
        `RmuTrainer` moves representations to one random point, this to those of mismatched pairs.
    """

    paper = Paper("MultiDelete for Multimodal Machine Unlearning", "ECCV 2024", "2311.12047", "Cheng and Amiri")
    kinds = ("image_pair_classification",)
    arguments = MultiDeleteArguments
    args: MultiDeleteArguments
    per_weight = True
    uses_teacher = True

    def prepare(self) -> None:
        """Keep the base model as the teacher, exchange the texts of the forget set, and freeze the head."""
        names = {self.args.head, self.args.words, self.args.pictures}
        if missing := names - {name for name, _ in self.model.named_modules()}:
            raise ValueError(f"head, words and pictures must be modules of the model, got {', '.join(missing)}")
        self.teachers = {"original": self.frozen_original()}
        self.model.get_submodule(self.args.head).requires_grad_(False)  # no distance reaches it
        rows = [self.train_dataset[row][0] for row in self.forget_rows]  # type: ignore[index]
        self.mismatched = [
            {**row, **{name: rows[other][name] for name in TEXT_COLUMNS if name in row}}
            for row, other in zip(rows, derangement(len(rows), self.generator("words")), strict=True)
        ]

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: the forget set, each example paired with a retain example."""
        return [pair_rows(self.forget_rows, self.retain_rows, self.generator(f"pairs {epoch}"))]

    def representations(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Return a model's representations by ``both``, ``words`` and ``pictures``, shape ``(B, D)`` each."""
        inner, names = self.accelerator.unwrap_model(model), (self.args.words, self.args.pictures)
        outputs, both = capture_outputs(model, inner, names, self.args.head, model_inputs(batch))
        words = masked_mean(outputs[self.args.words][0], batch["attention_mask"])
        images = [spatial_mean(one, batch.get("pixel_mask"), i) for i, one in enumerate(outputs[self.args.pictures])]
        return {"both": both.float(), "words": words, "pictures": torch.cat(images, dim=1)}

    def original(self, batch: Mapping[str, Any], like: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the base model's representations, from the teacher cache, in the widths of ``like``."""
        teacher = self.teachers["original"]

        def compute(rest: Mapping[str, Any]) -> torch.Tensor:
            with frozen_forward(teacher), self.accelerator.autocast():
                return torch.cat(list(self.representations(teacher, rest).values()), dim=1)

        whole = self.teacher_cache.lookup(teacher, "representations", batch, compute)
        return dict(zip(like, whole.split([part.shape[1] for part in like.values()], dim=1), strict=True))

    def mismatched_batch(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the forget examples of a batch with other texts, indexed behind the whole dataset."""
        offset = len(self.train_dataset)
        rows = batch["index"][batch["forget"]].tolist()
        collated = self.train_collator([(self.mismatched[row], offset + row, True) for row in rows])
        if RANDOM_NUMBERS in batch:  # the images are augmented like those of the original rows
            collated[RANDOM_NUMBERS] = batch[RANDOM_NUMBERS][batch["forget"]]
        return self._prepare_inputs(collated)

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the three distances."""
        now, forget = self.representations(model, batch), batch["forget"]
        parts = {name: part[forget] for name, part in now.items()}
        decoupling = retention = unimodal = now["both"].sum(dim=1)[:0]
        if forget.any():
            original = self.original(select_rows(batch, forget), now)
            mismatched = self.original(self.mismatched_batch(batch), now)
            decoupling = distance(parts["both"], mismatched["both"])
            unimodal = distance(parts["words"], original["words"])
            unimodal = unimodal + distance(parts["pictures"], original["pictures"])
        if not forget.all():
            retention = distance(now["both"][~forget], self.original(select_rows(batch, ~forget), now)["both"])
        return [
            Term("forget", decoupling, self.args.alpha),
            Term("retain", retention, self.args.beta),
            Term("forget", unimodal, self.args.gamma),
        ]
