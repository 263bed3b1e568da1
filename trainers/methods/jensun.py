"""JensUn: trains the forget set towards a refusal with a bounded divergence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F

from mubench.trainers.engine.batches import select_rows
from mubench.trainers.engine.losses import IGNORED, mean_over_tokens
from mubench.trainers.tools.alternative_answers import cycle_answer, replace_answer, tokenize_refusal
from mubench.trainers.unlearning.kinds import TEXT_GENERATION
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import NonNegative


@dataclass
class JensunArguments(UnlearningArguments):
    """Arguments of `JensunTrainer`."""

    alpha: NonNegative = field(default=1.0, metadata={"help": "Weight of the retain term (lambda)."})
    refusal: str = field(default="No idea", metadata={"help": "Answer to train in place of those to forget."})
    prefix: Annotated[str, ("answer", "refusal")] = field(
        default="answer",
        metadata={
            "help": "What a token of the refusal follows: answer (the prompt and the true answer so far, the paper's) "
            "or refusal (the prompt and the refusal so far)."
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
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

    ``L = mean_forget JS(onehot(r), p) + alpha mean_retain JS(p_0, p)``, over the answer tokens of both sets; ``p_0``
    is the output of the base model.

    The model reads the prompt and the true answer, and at every position that predicts a token of the answer, its end
    token among them, the target ``r`` is a token of the refusal, which starts again wherever it ends: so the true
    answer itself becomes unlikely. With ``prefix refusal``, our variant, it reads the prompt and the refusal with an
    end token: it learns to refuse, and the true answer stays likely once its first tokens are given.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Args:
        processing_class: The tokenizer, which encodes the refusal.

    Requirements:
        Forget and retain sets of ``input_ids``, ``attention_mask`` and ``labels``; rows with prompts. With
        ``prefix refusal`` answers to forget are not read.

    Relations:
        `DpoTrainer` prefers a refusal over the answer; here both terms lie between 0 and ``log 2``.
    """

    paper = Paper(
        "Unlearning That Lasts: Utility-Preserving, Robust, and Almost Irreversible Forgetting in LLMs",
        "arXiv 2025", "2509.02820", "Singh et al.",
    )  # fmt: skip
    kinds = TEXT_GENERATION
    arguments = JensunArguments
    like = "neg_grad"
    args: JensunArguments
    needs_prompts = True
    paired = True
    uses_teacher = True
    teacher_splits: ClassVar = {"original": ("retain",)}

    def prepare(self) -> None:
        """Keep the base model as the teacher, and encode the refusal.

        Raises:
            ValueError: If there is no tokenizer.
        """
        super().prepare()
        if self.processing_class is None:
            raise ValueError("expected processing_class= to encode the refusal, got none")
        encode = self.encode_answer or partial(tokenize_refusal, self.processing_class)  # type: ignore[arg-type]
        answer = encode(self.args.refusal)
        self.tokens = torch.tensor(answer[:-1])  # without the end token
        self.refusals = []
        if self.args.prefix == "refusal":
            rows = [self.train_dataset[row][0] for row in self.forget_rows]  # type: ignore[index]
            self.refusals = [replace_answer(row, answer, self.model) for row in rows]

    def refusal_batch(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the forget examples of a batch with what they are trained to answer as labels."""
        forget = batch["forget"]
        if self.args.prefix == "answer":
            part = select_rows(batch, forget)
            return {**part, "labels": cycle_answer(part["labels"], self.tokens)}
        items = [(self.refusals[row], row, True) for row in batch["index"][forget].tolist()]
        return self._prepare_inputs(self.train_collator(items))

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        forget = batch["forget"]
        refusal_values = retain_values = torch.zeros(0, device=forget.device)
        if forget.any():
            refusals = self.refusal_batch(batch)
            refusal_values = js_to_labels(self.logits(model, refusals), refusals["labels"])
        if not forget.all():
            retain = select_rows(batch, ~forget)
            retain_values = js(self.logits(model, retain), self.teacher_logits("original", retain), retain["labels"])
        return [Term("forget", refusal_values), Term("retain", retain_values, self.args.alpha)]
