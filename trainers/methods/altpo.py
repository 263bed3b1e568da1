"""AltPO: prefers answers with other facts, which the base model generates, to the answers of the forget set."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mubench.trainers.inference.generate import MOST_TOKENS, generate_texts
from mubench.trainers.methods.dpo import DpoTrainer
from mubench.trainers.methods.npo import NpoArguments
from mubench.trainers.tools.alternative_answers import answer_tokens, between_frame, prompt_tokens, tokenize_refusal
from mubench.trainers.unlearning.kinds import TEXT_GENERATION
from mubench.trainers.unlearning.unlearning_trainer import Paper


@dataclass
class AltpoArguments(NpoArguments):
    """Arguments of `AltpoTrainer`."""

    instruction: str = field(
        default="Write another answer, with every fact changed to another plausible one.",
        metadata={"help": "Request that follows question and answer in the prompt."},
    )


class AltpoTrainer(DpoTrainer):
    """Prefers a generated answer with other facts to the true answer of every forget example.

    ``L = -(2 / beta) mean_forget log sigmoid(beta [(S_l - S_l0) - (S_w - S_w0)]) + alpha mean_retain R``, the loss of
    `DpoTrainer`: ``S = -log p`` of a whole answer, the sum over its tokens, end token included, ``l`` the true one,
    ``w`` the generated one, ``0`` under the base model. ``R`` is averaged over answer tokens, then over rows, see
    `UnlearningTrainer`.

    Before training, the base model reads question, true answer and ``instruction``, as one turn where rows are in a
    chat template. The first line of one sample at temperature 1 is the generated answer, at most as long as the
    longest true one and 128 tokens; a prompt that is too long for the model loses its start. All are kept for the
    whole run. Where it equals the true answer the forget term has no gradient. The seconds of a run count generation,
    its passes do not.

    Args:
        processing_class: The tokenizer.

    Requirements:
        Forget and retain sets of ``input_ids``, ``attention_mask`` and ``labels``; rows with prompts; a model that
        follows instructions: what others generate, such as mini models, has little to do with the question.

    Relations:
        `DpoTrainer` prefers refusals or answers of retain examples. The authors word the instruction otherwise for
        each family of models, and some of their runs have several alternatives of a question.
    """

    paper = Paper(
        "Alternate Preference Optimization for Unlearning Factual Knowledge in Large Language Models",
        "COLING 2025", "2409.13474", "Mekala et al.",
    )  # fmt: skip
    kinds = TEXT_GENERATION
    adapted_kinds = ()
    arguments = AltpoArguments  # type: ignore[assignment]  # without the choice of answers that DPO's have
    like = "neg_grad"
    args: AltpoArguments  # type: ignore[assignment]

    def preferred_answers(self, rows: list[dict[str, Any]]) -> list[list[int]]:
        """Return the tokens of a generated answer for every forget example.

        Raises:
            ValueError: If there is no tokenizer.
        """
        if self.processing_class is None:
            raise ValueError("expected processing_class= to read and write answers, got none")
        tokenizer: Any = self.processing_class
        encode = self.encode_answer or partial(tokenize_refusal, tokenizer)
        places = getattr(getattr(self.model, "config", None), "max_position_embeddings", None) or sys.maxsize
        most = min(MOST_TOKENS, places // 2, max(len(answer_tokens(row)) for row in rows))
        uniforms = self.generator("answers").random((len(rows), most))
        with self.cost_counter.pause() if self.cost_counter else contextlib.nullcontext():
            texts = generate_texts(
                self.model,
                tokenizer,
                [self.instructed_prompt(row)[most - places :] for row in rows],
                max_tokens=most,
                uniforms=uniforms,
                ends=[encode("a")[-1]],
            )
        return [encode(text.partition("\n")[0]) for text in texts]

    def instructed_prompt(self, row: dict[str, Any]) -> list[int]:
        """Return the tokens of a row's question and answer with the instruction, up to where the model writes."""
        tokenizer: Any = self.processing_class
        prompt = prompt_tokens(row)
        if self.encode_prompt is not None:
            prompt = between_frame(prompt, self.encode_prompt("a"), self.encode_prompt("b"))
        question, answer = tokenizer.batch_decode([prompt, answer_tokens(row)], skip_special_tokens=True)
        text = f"Question: {question.strip()}\nAnswer: {answer.strip()}\n{self.args.instruction}"
        if self.encode_prompt is not None:
            return self.encode_prompt(text)
        return list(tokenizer(f"{text}\nAnother answer:")["input_ids"])
