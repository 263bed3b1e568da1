"""Answers that a model generates to questions about documents, cached by model and questions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mubench.hub_builders.hub.model_folder import Run
from mubench.hub_builders.tasks.names import fingerprint
from mubench.hub_builders.utils.atomic import write_json
from mubench.trainers.corpora.questions import Question
from mubench.trainers.engine.errors import EVALUATION, explain_out_of_memory
from mubench.trainers.inference.generate import generate_texts
from mubench.trainers.metrics.corpus_numbers import Pair
from mubench.trainers.models.modalities.text_generation import encode_texts
from mubench.trainers.models.setting import Setting

# Of MUSE's public code: its prompt, the tokens of an answer at most, and what ends one.
TEMPLATE = "Question: {question}\nAnswer: "
PLACE = "{question}"
MOST_ANSWER_TOKENS = 32
STOPS = ("\n\n", "\nQuestion", "Question:")


def check_template(template: str) -> str:
    """Return what stands around a question, or raise ``ValueError`` if the question has no place in it."""
    if template.count(PLACE) != 1:
        raise ValueError(f"expected {PLACE} once in question_template, got {template!r}")
    return template


def make_prompts(questions: Sequence[Question], template: str, examples: Sequence[Question] = ()) -> list[str]:
    """Return the text that a model reads for every question: examples with their answers, then the question."""
    shown = "".join(f"{template.replace(PLACE, one.question)}{one.answer}\n\n" for one in examples)
    return [shown + template.replace(PLACE, one.question) for one in questions]


def cut_answer(text: str) -> str:
    """Return a generated text up to where the model begins another question."""
    for stop in STOPS:
        text = text.partition(stop)[0]
    return text.strip()


def generate_answers(model: Any, tokenizer: Any, prompts: Sequence[str]) -> list[str]:
    """Return what a model answers to every prompt: its greedy continuation, cut where another question begins."""
    tokens = encode_texts(tokenizer, prompts)
    texts = generate_texts(model, tokenizer, tokens, max_tokens=MOST_ANSWER_TOKENS)
    return [cut_answer(text) for text in texts]


def answer_questions(
    setting: Setting,
    folder: Path,
    run: Run,
    questions: Mapping[str, Sequence[Question]],
    *,
    template: str,
    examples: Sequence[Question],
    cache: Path,
) -> dict[str, list[Pair]]:
    """Return the generated and the true answer to every question, by part; a model answers a prompt once.

    Args:
        setting: Task and backbone.
        folder: Folder of the model.
        run: Its run.
        questions: Questions by part.
        template: What stands around a question, see `check_template`.
        examples: Questions whose answers are shown before every question.
        cache: Folder of the answers.
    """
    prompts = {part: make_prompts(ones, template, examples) for part, ones in questions.items()}
    every = list(dict.fromkeys(prompt for part in prompts.values() for prompt in part))
    model_files = dict(run.files) or run.checksum
    about = {"model": model_files, "prompts": every, "tokens": MOST_ANSWER_TOKENS, "stops": STOPS}
    path = cache / f"{folder.name}-{fingerprint(about)[:12]}.json"
    if not path.is_file():
        loaded: tuple[Any, Any] = setting.load(folder)
        model, tokenizer = loaded
        if torch.cuda.is_available():
            model.to("cuda")
        with explain_out_of_memory("answers to questions", EVALUATION):
            answers = generate_answers(model, tokenizer, every)
        cache.mkdir(parents=True, exist_ok=True)
        write_json(path, dict(zip(every, answers, strict=True)))
    found = _read_answers(path, every)
    return {
        part: [(found[prompt], one.answer) for prompt, one in zip(prompts[part], ones, strict=True)]
        for part, ones in questions.items()
    }


def _read_answers(path: Path, prompts: Sequence[str]) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        whole = list(found) == list(prompts) and all(isinstance(one, str) for one in found.values())
    except (ValueError, TypeError) as error:
        raise ValueError(f"expected answers that this suite wrote, got another file: remove {path}") from error
    if not whole:
        raise ValueError(f"expected answers to {len(prompts)} questions, got others: remove {path}")
    return found
