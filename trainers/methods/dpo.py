"""Direct preference optimisation: prefer a refusal, or another answer, over the answer to forget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mubench.hub_builders.terms import per_example_loss
from mubench.trainers.alternatives import REFUSALS, answer_of, borrowed, refusal, with_answer
from mubench.trainers.base import WRITING, Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.losses import answer_nll, preference
from mubench.trainers.pairs import pair_rows
from mubench.trainers.teachers import frozen_copy


@dataclass
class DpoArguments(UnlearningArguments):
    """Arguments of `DpoTrainer`."""

    beta: float = field(default=0.1, metadata={"help": "How soon a preference is enough (beta)."})
    alpha: float = field(default=1.0, metadata={"help": "Weight of the retain term."})
    answers: str = field(
        default="idk", metadata={"help": "What to prefer: idk (a refusal), or alt (the answer of a retain row)."}
    )

    def __post_init__(self) -> None:
        """Refuse what is no temperature, no weight or no answer."""
        super().__post_init__()
        if self.beta <= 0:
            raise ValueError(f"beta must be positive, got {self.beta}")
        if self.alpha < 0:
            raise ValueError(f"alpha must be 0 or more, got {self.alpha}")
        if self.answers not in ("idk", "alt"):
            raise ValueError(f"answers must be idk or alt, got {self.answers!r}")


class DpoTrainer(UnlearningTrainer):
    """Prefers another answer over the answer of every forget row, more than the base model does.

    ``L = -(2 / beta) mean_forget log sigmoid(beta [(S_l - S_l0) - (S_w - S_w0)]) + alpha mean_retain CE(z, y)``, where
    ``S = -log p`` of a whole answer: ``l`` the true one, ``w`` the one to prefer, ``0`` under the base model.

    The answer to prefer is drawn once for every forget row. An epoch goes through the forget rows, each with a retain
    row that is drawn for it.

    Args:
        model: The base model.
        args: `DpoArguments`; a batch size counts pairs.
        teacher: Takes the place of the frozen base model.
        processing_class: The tokenizer, which writes refusals; ``answers="alt"`` needs none.

    Requirements:
        Forget and retain rows of ``input_ids``, ``attention_mask`` and ``labels``.

    Relations:
        Published as IdkDPO (``idk``) in TOFU, without the factor ``2 / beta``, and as AltPO (``alt``; 2409.13474),
        which has a model write the other answers where we borrow them. `NpoTrainer` leaves out ``w``.
    """

    paper = Paper(
        "Direct Preference Optimization: Your Language Model is Secretly a Reward Model",
        "NeurIPS 2023", "2305.18290", "Rafailov et al.",
    )  # fmt: skip
    kinds = WRITING
    arguments = DpoArguments
    args: DpoArguments
    uses_teacher = True

    def prepare(self) -> None:
        """Keep the base model as the teacher, and write the answers to prefer."""
        teacher = frozen_copy(self.model if self.teacher is None else self.teacher)
        self.teachers = {"original": teacher.to(self.args.device)}
        config = getattr(self.model, "config", None)
        rows = [self.train_dataset[row][0] for row in self.forget_rows]  # type: ignore[index]
        self.preferred = [
            with_answer(
                row,
                answer,
                decoder=getattr(config, "is_encoder_decoder", False),
                longest=getattr(config, "max_position_embeddings", None),
            )
            for row, answer in zip(rows, self.preferred_answers(rows), strict=True)
        ]

    def preferred_answers(self, rows: list[dict[str, Any]]) -> list[list[int]]:
        """Return the tokens of the answer to prefer for every forget row.

        Raises:
            ValueError: If there is no tokenizer to write a refusal with, or no other answer to borrow.
        """
        draw = self.generator("answers")
        if self.args.answers == "alt":
            donors = [answer_of(self.train_dataset[row][0]) for row in self.retain_rows]  # type: ignore[index]
            return borrowed([answer_of(row) for row in rows], donors, draw)
        if self.processing_class is None:
            raise ValueError("expected processing_class= to write refusals with (or answers='alt'), got none")
        written = [refusal(self.processing_class, text) for text in REFUSALS]  # type: ignore[arg-type]
        return [written[int(number)] for number in draw.integers(len(written), size=len(rows))]

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: the forget rows, each with a retain row."""
        return [pair_rows(self.forget_rows, self.retain_rows, self.generator(f"pairs {epoch}"))]

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the preference on the forget rows and the cross-entropy of the retain rows."""
        logits, labels, forget = self.logits(model, batch), batch["labels"], batch["forget"]
        margin = answer_nll(logits[forget], labels[forget]) - self.ask_nll("original", batch, forget)
        if forget.any():
            other = self.preferred_batch(batch["index"][forget].tolist())
            margin = margin - answer_nll(self.logits(model, other), other["labels"]) + self.ask_nll("original", other)
        retain = per_example_loss(logits[~forget], labels[~forget])
        return [Term("forget", preference(margin, self.args.beta)), Term("retain", retain, self.args.alpha)]

    def preferred_batch(self, rows: list[int]) -> dict[str, Any]:
        """Return a batch of these forget rows with the answers to prefer; they count as rows behind all others."""
        behind = len(self.train_dataset)  # type: ignore[arg-type]
        return self._prepare_inputs(self.train_collator([(self.preferred[row], behind + row, True) for row in rows]))
