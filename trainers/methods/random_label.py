"""Random labels: train on, with wrong labels, answers or captions for the forget rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mubench.trainers.engine.batches import select_rows
from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.tools.alternative_answers import answer_of, borrowed, caption_of, with_answers
from mubench.trainers.unlearning.unlearning_trainer import (
    CLASSIFICATION,
    TEXT_GENERATION,
    TEXT_TO_IMAGE,
    Paper,
    Term,
    UnlearningArguments,
    UnlearningTrainer,
)


@dataclass
class RandomLabelArguments(UnlearningArguments):
    """Arguments of `RandomLabelTrainer`."""

    redraw: bool = field(default=False, metadata={"help": "Draw the wrong labels anew each epoch, not once (y')."})


def shift_labels(labels: torch.Tensor, shifts: torch.Tensor, classes: int) -> torch.Tensor:
    """Return other labels; shifts uniform over ``1 .. K-1`` give labels uniform over the ``K-1`` wrong ones.

    Args:
        labels: True labels, shape ``(B,)``.
        shifts: How far to move each one, shape ``(B,)``; 0 keeps it.
        classes: The number of classes ``K``.

    Returns:
        Labels to train on, shape ``(B,)``.
    """
    return (labels + shifts) % classes


class RandomLabelTrainer(UnlearningTrainer):
    """Trains on all rows, the forget rows with labels drawn from the wrong ones.

    ``L = mean_all CE(z, y')`` with ``y' = y`` on retain rows and ``y' ~ uniform({0 .. K-1} minus y)`` on forget rows.

    Of models that write, ``y'`` is the whole answer of a retain row that has another. Of models that draw, ``L =
    mean_retain |e(x_t, c) - e|^2`` and ``mean_forget |e(x_t, c) - sg[e(x_t, c')]|^2``, one mean over both: what the
    model itself sees in a forget row's picture when it is told the caption ``c'`` of a retain row. That is the target
    of SalUn's eq. 6, which weighs the two sides apart.

    Args:
        model: The base model; ``K`` is the width of its logits.
        args: `RandomLabelArguments`.

    Requirements:
        Forget and retain rows, two classes, answers or captions at least. With two classes the draw is a flip, which
        pushes the forget rows below what a retrained model would say of them. Of texts, rows of ``input_ids``,
        ``attention_mask`` and ``labels``. Of drawings captions of one length; forget rows go forward twice.

    Relations:
        `SalunTrainer` is this, on the salient weights only.
    """

    paper = Paper("Amnesiac Machine Learning", "AAAI 2021", "2010.10981", "Graves et al.")
    kinds = (*CLASSIFICATION, *TEXT_GENERATION, *TEXT_TO_IMAGE)
    adapted_kinds = (*TEXT_GENERATION, *TEXT_TO_IMAGE)
    arguments = RandomLabelArguments
    args: RandomLabelArguments
    drawn: tuple[int, list[list[int]]] = (-1, [])

    @property
    def draw(self) -> int:
        """The epoch whose draw holds."""
        return int(self.state.epoch or 0) if self.args.redraw else 0

    def shifts(self, classes: int) -> torch.Tensor:
        """Return the current shift of every forget row, shape ``(n_f,)``: a pure function of seed and epoch.

        Raises:
            ValueError: If there is no wrong label.
        """
        if classes < 2:
            raise ValueError(f"random labels need at least 2 classes, got {classes}")
        return torch.from_numpy(self.generator(f"labels {self.draw}").integers(1, classes, len(self.forget_rows)))

    def others(self, tokens: Callable[[dict[str, Any]], list[int]]) -> list[list[int]]:
        """Return the tokens of another row for every forget row: as `shifts`, a pure function of seed and epoch.

        Raises:
            ValueError: If all retain rows say the same as a forget row.
        """
        if self.drawn[0] != self.draw:
            own, generator = self.forget_rows.tolist(), self.generator(f"labels {self.draw}")

            def read(row: int) -> list[int]:
                return tokens(self.train_dataset[row][0])

            self.drawn = (self.draw, borrowed([read(row) for row in own], read, self.retain_rows, generator))
        return self.drawn[1]

    def training_labels(self, batch: Mapping[str, Any], classes: int) -> torch.Tensor:
        """Return the labels to train a batch on, shape ``(B,)``; the batch and the rows keep theirs."""
        labels: torch.Tensor = batch["labels"].clone()
        forget = batch["forget"]
        shifts = self.shifts(classes).to(labels.device)[batch["index"][forget]]
        labels[forget] = shift_labels(labels[forget], shifts, classes)
        return labels

    def answered(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return a batch of texts in which forget rows have the answers of other rows."""
        items = [self.train_dataset[index] for index in batch["index"].tolist()]
        forget = [row for row, _, is_forget in items if is_forget]
        answers = [self.others(answer_of)[index] for _, index, is_forget in items if is_forget]
        other = iter(with_answers(forget, answers, self.model))
        return self._prepare_inputs(
            self.train_collator([(next(other) if is_forget else row, i, is_forget) for row, i, is_forget in items])
        )

    def misled(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
        """Return the noise to see in pictures, ``(B, C, H, W)``: of forget rows, what other captions would show."""
        noise: torch.Tensor = batch["labels"].clone()
        forget = batch["forget"]
        if forget.any():
            captions = self.others(caption_of)
            other = torch.tensor([captions[index] for index in batch["index"][forget].tolist()], device=noise.device)
            bare = self.accelerator.unwrap_model(model)  # asked by itself: other processes may have no forget row now
            with torch.no_grad():
                noise[forget] = self.logits(bare, {**select_rows(batch, forget), "input_ids": other}).to(noise)
        return noise

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the loss of all rows with the labels of this epoch."""
        if batch["labels"].is_floating_point():
            return [Term("all", per_example_loss(self.logits(model, batch), self.misled(model, batch)))]
        if batch["labels"].ndim == 2:
            batch = self.answered(batch)
            return [Term("all", per_example_loss(self.logits(model, batch), batch["labels"]))]
        logits = self.logits(model, batch)
        return [Term("all", per_example_loss(logits, self.training_labels(batch, logits.shape[-1])))]
