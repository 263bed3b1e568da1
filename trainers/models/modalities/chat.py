"""Chat templates: a prompt and its answer as two turns of a conversation, as instruct models read and write them.

All tokens are those that the tokenizer's own ``apply_chat_template`` gives. Thinking is disabled where a
template has it, and templates that state a date always state the same one, or a row would depend on the day.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

# That of the prompts which the published checkpoints of open-unlearning were trained on.
TODAY = datetime.date(2025, 4, 10)
_DATE = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")


def state_one_date(template: str) -> str:
    """Return a template that states `TODAY` wherever it would state the day on which it is read.

    Raises:
        ValueError: If it makes the form of its date.
    """
    found = _DATE.sub(lambda call: repr(TODAY.strftime(call[2])), template)
    if "strftime_now(" in found:
        raise ValueError("expected a chat template with dates of a fixed form, got one that makes the form")
    return found


@dataclass(frozen=True)
class ChatTemplate:
    """The chat template of a tokenizer.

    Attributes:
        tokenizer: The tokenizer.
        system_prompt: The system turn; ``None`` for what the template itself begins with.

    Raises:
        ValueError: If the tokenizer has no template.
    """

    tokenizer: PreTrainedTokenizerBase
    system_prompt: str | None = None

    def __post_init__(self) -> None:
        if not self.tokenizer.chat_template:
            raise ValueError(
                f"expected a tokenizer with a chat template for template chat, got {type(self.tokenizer).__name__} "
                f"of {len(self.tokenizer)} tokens without one"
            )

    @cached_property
    def template(self) -> str:
        """The template that is read, with one date."""
        return state_one_date(self.tokenizer.get_chat_template())

    def encode_prompts(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of every prompt, up to where the model's turn begins."""
        return self._tokens([self._turns(prompt) for prompt in prompts], add_generation_prompt=True)

    def encode_rows(self, prompts: Sequence[str], answers: Sequence[str]) -> list[tuple[list[int], int]]:
        """Return, of every row, the tokens of prompt and answer up to the end of its turn, and how many are prompt.

        Raises:
            ValueError: If the template does not write prompts alike with and without an answer, or ends no turn.
        """
        starts = self.encode_prompts(prompts)
        turns = [self._turns(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
        rows = zip(self._tokens(turns), starts, strict=True)
        return [(self._end_turn(tokens, start), len(start)) for tokens, start in rows]

    def encode_answer(self, answer: str) -> list[int]:
        """Return the tokens of an answer, whatever its prompt, and that of the end of its turn."""
        ((tokens, start),) = self.encode_rows(["a"], [answer])
        return tokens[start:]

    @cached_property
    def turn_end(self) -> int:
        """The special token that ends an answer.

        Raises:
            ValueError: If there is none.
        """
        (start,), (tokens,) = self.encode_prompts(["a"]), self._tokens([self._turns("a", "a")])
        added = self.tokenizer.added_tokens_decoder  # some tokenizers mark a token as special here alone
        special = {*self.tokenizer.all_special_ids, *(one for one, token in added.items() if token.special)}
        found = next((token for token in tokens[len(start) :] if token in special), None)
        if found is None:
            raise ValueError("expected a chat template that ends an answer with a special token, got one without")
        return found

    def _turns(self, prompt: str, answer: str | None = None) -> list[dict[str, str]]:
        contents = {"system": self.system_prompt, "user": prompt, "assistant": answer}
        return [{"role": role, "content": text} for role, text in contents.items() if text is not None]

    def _tokens(self, conversations: list[list[dict[str, str]]], **options: Any) -> list[list[int]]:
        """Return the tokens of every conversation, or raise ``ValueError`` where the template refuses its turns."""
        try:
            found: Any = self.tokenizer.apply_chat_template(
                conversations,
                chat_template=self.template,
                tokenize=True,
                return_dict=False,
                enable_thinking=False,
                **options,
            )
        except TemplateError as error:
            raise ValueError(
                f"expected a chat template for these turns, got: {' '.join(str(error).split())}"
            ) from error
        return [list(one) for one in found]

    def _end_turn(self, tokens: list[int], start: list[int]) -> list[int]:
        """Return the tokens of a row up to the end of the answer's turn: some templates write a line break behind."""
        if tokens[: len(start)] != start:
            raise ValueError(
                "expected a chat template that writes a prompt alike with and without an answer, got another at "
                f"{self.tokenizer.decode(tokens)[:60]!r}"
            )
        if self.turn_end not in tokens[len(start) :]:
            raise ValueError(
                f"expected a chat template that ends every answer with {self.tokenizer.decode([self.turn_end])}, "
                f"got {self.tokenizer.decode(tokens[len(start) :])[-60:]!r}"
            )
        return tokens[: tokens.index(self.turn_end, len(start)) + 1]
