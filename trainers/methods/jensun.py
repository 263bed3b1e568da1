"""JensUn: trains the forget set towards a refusal with a bounded divergence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from mubench.trainers.engine.batches import select_rows
from mubench.trainers.engine.losses import IGNORED, mean_over_tokens
from mubench.trainers.tools.alternative_answers import replace_answers, tokenize_refusal
from mubench.trainers.unlearning.forget_retain import pair_rows
from mubench.trainers.unlearning.unlearning_trainer import (
    TEXT_GENERATION,
    Paper,
    Term,
    UnlearningArguments,
    UnlearningTrainer,
)


@dataclass
class JensunArguments(UnlearningArguments):
    """Arguments of `JensunTrainer`."""

    alpha: float = field(default=1.0, metadata={"help": "Weight of the retain term (lambda)."})
    refusal: str = field(default="No idea", metadata={"help": "Answer to train in place of those to forget."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha < 0:
            raise ValueError(f"alpha must be 0 or more, got {self.alpha}")
        if not self.refusal.strip():
            raise ValueError(f"refusal must be a text, got {self.refusal!r}")


def js_to_labels(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the Jensen-Shannon divergence of ``softmax(logits)`` from the labels, averaged over answer tokens.

    From a label of probability ``p`` it is ``log 2 + [p log p - (1 + p) log(1 + p)] / 2``: 0 at 1, ``log 2`` at 0.

    Args:
        logits: Token scores, shape ``(B, T, V)``.
        labels: The token that every position should predict, shape ``(B, T)``.

    Returns:
        Divergences in nats, fp32, shape ``(B,)``.
    """
    nll = F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="none", ignore_index=IGNORED)
    log_p = -nll.view(labels.shape)
    p = log_p.exp()
    return mean_over_tokens(math.log(2) + (p * log_p - (1 + p) * torch.log1p(p)) / 2, labels)


def js(student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the Jensen-Shannon divergence of two softmaxes, averaged over answer tokens.

    Args:
        student: Logits that are trained, shape ``(B, T, V)``.
        teacher: Logits of the target, in the same shape.
        labels: Labels of the batch, shape ``(B, T)``, which mark the answer tokens.

    Returns:
        Divergences in nats, fp32, shape ``(B,)``.
    """
    log_q, log_p = F.log_softmax(student.float(), dim=-1), F.log_softmax(teacher.float(), dim=-1)
    log_m = torch.logaddexp(log_q, log_p) - math.log(2)
    values = F.kl_div(log_m, log_q, reduction="none", log_target=True)
    values = values + F.kl_div(log_m, log_p, reduction="none", log_target=True)
    return mean_over_tokens(values.sum(dim=-1) / 2, labels)


class JensunTrainer(UnlearningTrainer):
    """Trains the forget set to answer with a refusal and keeps the outputs on the retain set.

    ``L = mean_forget JS(onehot(r), p) + alpha mean_retain JS(p_0, p)``, over the tokens ``r`` of the refusal after the
    prompt, and over the answer tokens of the retain set; ``p_0`` is the output of the base model.

    An epoch is one pass over the forget set, each example paired with a sampled retain example.

    Args:
        model: The base model.
        args: `JensunArguments`; a batch size counts pairs.
        teacher: Replaces the frozen base model.
        processing_class: The tokenizer, which encodes the refusal.

    Requirements:
        Forget and retain sets of ``input_ids``, ``attention_mask`` and ``labels``. Answers to forget are not read.

    Relations:
        `DpoTrainer` prefers a refusal over the answer; here both terms lie between 0 and ``log 2``.
    """

    paper = Paper(
        "Unlearning That Lasts: Utility-Preserving, Robust, and Almost Irreversible Forgetting in LLMs",
        "arXiv 2025", "2509.02820", "Singh et al.",
    )  # fmt: skip
    kinds = TEXT_GENERATION
    arguments = JensunArguments
    args: JensunArguments
    uses_teacher = True

    def prepare(self) -> None:
        """Keep the base model as the teacher, and build the forget examples with refusals.

        Raises:
            ValueError: If there is no tokenizer.
        """
        self.teachers = {"original": self.frozen_original()}
        if self.processing_class is None:
            raise ValueError("expected processing_class= to encode the refusal, got none")
        answer = tokenize_refusal(self.processing_class, self.args.refusal)  # type: ignore[arg-type]
        rows = [self.train_dataset[row][0] for row in self.forget_rows]  # type: ignore[index]
        self.refusals = replace_answers(rows, [answer] * len(rows), self.model)

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: the forget set, each example paired with a retain example."""
        return [pair_rows(self.forget_rows, self.retain_rows, self.generator(f"pairs {epoch}"))]

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the divergence of the forget set from the refusal and of the retain set from the base model."""
        forget = batch["forget"]
        refusal_values = retain_values = torch.zeros(0, device=forget.device)
        if forget.any():
            items = [(self.refusals[row], row, True) for row in batch["index"][forget].tolist()]
            refusals = self._prepare_inputs(self.train_collator(items))
            refusal_values = js_to_labels(self.logits(model, refusals), refusals["labels"])
        if not forget.all():
            retain = select_rows(batch, ~forget)
            retain_values = js(self.logits(model, retain), self.teacher_logits("original", retain), retain["labels"])
        return [Term("forget", refusal_values), Term("retain", retain_values, self.args.alpha)]
