"""Direct preference optimisation (DPO): prefers a refusal or another answer over the answer to forget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, ClassVar

import torch

from mubench.trainers.engine.losses import answer_nll, preference
from mubench.trainers.methods.npo import NpoArguments, forget_margins, retain_values
from mubench.trainers.tools.alternative_answers import (
    REFUSALS,
    answer_tokens,
    replace_answer,
    sample_other_tokens,
    tokenize_refusal,
)
from mubench.trainers.unlearning.kinds import TEXT_GENERATION
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningTrainer


@dataclass
class DpoArguments(NpoArguments):
    """Arguments of `DpoTrainer`."""

    answers: Annotated[str, ("idk", "alt")] = field(
        default="idk", metadata={"help": "Preferred answer: idk (a refusal) or alt (that of a retain example)."}
    )


class DpoTrainer(UnlearningTrainer):
    """Prefers another answer over the true answer of every forget example, relative to the base model.

    ``L = -(2 / beta) mean_forget log sigmoid(beta [(S_l - S_l0) - (S_w - S_w0)]) + alpha mean_retain R``, where
    ``S = -log p`` of a whole answer: ``l`` the true one, ``w`` the preferred one, ``0`` under the base model; ``R`` is
    the cross-entropy or ``KL(p_0 || p)``.

    The preferred answer is sampled once for every forget example. An epoch is one pass over the forget set, each
    example paired with a sampled retain example.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Args:
        processing_class: The tokenizer, which encodes refusals; ``answers="alt"`` needs none.

    Requirements:
        Forget and retain sets of ``input_ids``, ``attention_mask`` and ``labels``; rows with prompts.

    Relations:
        Published as IdkDPO (``idk``) in TOFU, without the factor ``2 / beta``. In `AltpoTrainer` the model generates
        the alternative answers; those of ``alt`` are answers of retain examples. `NpoTrainer` leaves out ``w``.
    """

    paper = Paper(
        "Direct Preference Optimization: Your Language Model is Secretly a Reward Model",
        "NeurIPS 2023", "2305.18290", "Rafailov et al.",
    )  # fmt: skip
    kinds = TEXT_GENERATION
    adapted_kinds = ()
    arguments = DpoArguments
    like = "neg_grad"
    args: DpoArguments
    needs_prompts = True
    paired = True
    uses_teacher = True
    teacher_splits: ClassVar = {}  # it also runs on preferred answers, which are no rows

    def prepare(self) -> None:
        """Keep the base model as the teacher, and build the forget examples with preferred answers."""
        super().prepare()
        rows = [self.train_dataset[row][0] for row in self.forget_rows.tolist()]
        answers = self.preferred_answers(rows)
        self.preferred = [replace_answer(row, tokens, self.model) for row, tokens in zip(rows, answers, strict=True)]

    def preferred_answers(self, rows: list[dict[str, Any]]) -> list[list[int]]:
        """Return the tokens of the preferred answer for every forget example.

        Raises:
            ValueError: If there is no tokenizer to encode a refusal, or no other answer to borrow.
        """
        generator = self.generator("answers")
        if self.args.answers == "alt":
            own = [answer_tokens(row) for row in rows]
            return sample_other_tokens(
                own, lambda row: answer_tokens(self.train_dataset[row][0]), self.retain_rows, generator
            )
        if self.processing_class is None:
            raise ValueError("expected processing_class= to encode refusals (or answers='alt'), got none")
        encode = self.encode_answer or partial(tokenize_refusal, self.processing_class)  # type: ignore[arg-type]
        refusals = [encode(text) for text in REFUSALS]
        return [refusals[int(number)] for number in generator.integers(len(refusals), size=len(rows))]

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        logits = self.logits(model, batch)
        return [
            Term("forget", preference(self.margins(model, logits, batch), self.args.beta)),
            Term("retain", retain_values(self, self.args.retain_loss, logits, batch), self.args.alpha),
        ]

    def margins(self, model: torch.nn.Module, logits: torch.Tensor, batch: Mapping[str, Any]) -> torch.Tensor:
        """Return the lead of the preferred answers over that under the base model, shape ``(b,)``."""
        margins = forget_margins(self, logits, batch)
        if not len(margins):
            return margins
        other = self.preferred_batch(batch["index"][batch["forget"]].tolist())
        return margins - answer_nll(self.logits(model, other), other["labels"]) + self.teacher_nll("original", other)

    def preferred_batch(self, rows: list[int]) -> dict[str, Any]:
        """Return a batch of forget examples with their preferred answers, indexed behind the whole dataset."""
        offset = len(self.train_dataset)
        return self._prepare_inputs(self.train_collator([(self.preferred[row], offset + row, True) for row in rows]))
