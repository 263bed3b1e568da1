"""Random labels: trains the forget set on wrong labels, answers or captions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mubench.trainers.engine.batches import select_rows
from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.tools.alternative_answers import (
    answer_tokens,
    caption_tokens,
    replace_answer,
    sample_other_tokens,
)
from mubench.trainers.unlearning.kinds import ALL_KINDS, TEXT_GENERATION, TEXT_TO_IMAGE
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer


@dataclass
class RandomLabelArguments(UnlearningArguments):
    """Arguments of `RandomLabelTrainer`."""

    redraw: bool = field(default=False, metadata={"help": "Sample new wrong labels each epoch, not once (y')."})


class RandomLabelTrainer(UnlearningTrainer):
    """Trains on both sets, with wrong labels sampled uniformly for the forget set.

    ``L = mean_all CE(z, y')`` with ``y' = y`` on the retain set and ``y' ~ uniform({0 .. K-1} minus y)`` on the forget
    set.

    For language models ``y'`` is the whole answer of a retain example that differs. For text-to-image models ``L =
    mean_retain |e(x_t, c) - e|^2`` and ``mean_forget |e(x_t, c) - sg[e(x_t, c')]|^2``, one mean over both: the target
    is the model's own noise prediction for the forget image under the caption ``c'`` of a retain example. That is the
    target of SalUn's eq. 6, which weighs the two sets separately.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Args:
        model: The base model; ``K`` is the width of its logits.

    Requirements:
        Forget and retain sets, at least two classes, answers or captions. With two classes the labels are flipped,
        which pushes the forget set below the confidence of a retrained model. Text needs ``input_ids``,
        ``attention_mask`` and ``labels``. Images need captions of one length; forget examples take two forward passes.

    Relations:
        `SalunTrainer` restricts this to the salient weights.
    """

    paper = Paper("Amnesiac Machine Learning", "AAAI 2021", "2010.10981", "Graves et al.")
    kinds = ALL_KINDS
    adapted_kinds = (*TEXT_GENERATION, *TEXT_TO_IMAGE)
    arguments = RandomLabelArguments
    args: RandomLabelArguments
    cached_tokens: tuple[int, list[list[int]]] = (-1, [])

    @property
    def label_epoch(self) -> int:
        """The epoch whose wrong labels are in use."""
        return int(self.state.epoch or 0) if self.args.redraw else 0

    def shifts(self, classes: int) -> torch.Tensor:
        """Return the current shift of every forget label, shape ``(n_f,)``: a pure function of seed and epoch.

        Shifts uniform over ``1 .. K-1`` give labels uniform over the ``K-1`` wrong ones.

        Raises:
            ValueError: If there is no wrong label.
        """
        if classes < 2:
            raise ValueError(f"expected at least 2 classes for random labels, got {classes}")
        generator = self.generator(f"labels {self.label_epoch}")
        return torch.from_numpy(generator.integers(1, classes, len(self.forget_rows)))

    def other_tokens(self, tokens: Callable[[dict[str, Any]], list[int]]) -> list[list[int]]:
        """Return other tokens for every forget example, those of a retain example: a function of seed and epoch.

        Raises:
            ValueError: If all retain examples have the same tokens as a forget example.
        """
        if self.cached_tokens[0] != self.label_epoch:

            def read(row: int) -> list[int]:
                return tokens(self.train_dataset[row][0])

            own, generator = map(read, self.forget_rows.tolist()), self.generator(f"labels {self.label_epoch}")
            self.cached_tokens = (self.label_epoch, sample_other_tokens(list(own), read, self.retain_rows, generator))
        return self.cached_tokens[1]

    def training_labels(self, batch: Mapping[str, Any], classes: int) -> torch.Tensor:
        """Return the labels to train a batch on, shape ``(B,)``; the batch itself is not changed."""
        labels: torch.Tensor = batch["labels"].clone()
        forget = batch["forget"]
        shifts = self.shifts(classes).to(labels.device)[batch["index"][forget]]
        labels[forget] = (labels[forget] + shifts) % classes
        return labels

    def replace_answers(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return a batch of texts in which forget examples have the answers of retain examples."""
        items = []
        for row, index, is_forget in (self.train_dataset[index] for index in batch["index"].tolist()):
            other = replace_answer(row, self.other_tokens(answer_tokens)[index], self.model) if is_forget else row
            items.append((other, index, is_forget))
        return self._prepare_inputs(self.train_collator(items))

    def noise_targets(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
        """Return the noise to predict, ``(B, C, H, W)``: for forget examples the prediction under another caption."""
        noise: torch.Tensor = batch["labels"].clone()
        forget = batch["forget"]
        if forget.any():
            captions = self.other_tokens(caption_tokens)
            other = torch.tensor([captions[index] for index in batch["index"][forget].tolist()], device=noise.device)
            inner = self.accelerator.unwrap_model(model)  # unsynchronised: other processes may have no forget rows
            with torch.no_grad():
                noise[forget] = self.logits(inner, {**select_rows(batch, forget), "input_ids": other}).to(noise)
        return noise

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the loss of all examples with the labels of this epoch."""
        if batch["labels"].is_floating_point():
            return [Term("all", per_example_loss(self.logits(model, batch), self.noise_targets(model, batch)))]
        if batch["labels"].ndim == 2:
            batch = self.replace_answers(batch)
            return [Term("all", per_example_loss(self.logits(model, batch), batch["labels"]))]
        logits = self.logits(model, batch)
        return [Term("all", per_example_loss(logits, self.training_labels(batch, logits.shape[-1])))]
