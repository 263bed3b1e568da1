"""How the weights that a run starts from are loaded: their type, the kernel of attention, and 4 bits a weight."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from mubench.hub_builders.tasks import Kind
from mubench.trainers.engine.task_arguments import SizeArguments

# Kinds whose models read tokens; other inputs are numbers of a type of their own.
TEXTS: tuple[Kind, ...] = ("text_classification", "summarization", "text_generation")


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How weights are loaded.

    Attributes:
        dtype: Their type.
        attn_implementation: Kernel of attention; ``None`` for that of transformers.
        load_in_4bit: Whether linear layers hold 4 bits a weight (NF4, double quantization, 2305.14314).
    """

    dtype: torch.dtype = torch.float32
    attn_implementation: str | None = None
    load_in_4bit: bool = False

    @classmethod
    def of(cls, args: SizeArguments) -> LoadOptions:
        """Return those that the arguments of a run name."""
        dtype: torch.dtype = getattr(torch, args.dtype)
        return cls(dtype=dtype, attn_implementation=args.attn_implementation, load_in_4bit=args.load_in_4bit)

    @property
    def source(self) -> dict[str, Any]:
        """Those of the arguments of a model's ``from_pretrained`` that are no defaults here."""
        found: dict[str, Any] = {} if self.dtype == torch.float32 else {"dtype": self.dtype}
        if self.attn_implementation is not None:
            found["attn_implementation"] = self.attn_implementation
        if self.load_in_4bit:
            found["quantization_config"] = transformers.BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=self.dtype,
            )
        return found

    def apply(self, model: Any) -> None:
        """Change a model that was loaded, or made of a config, in place, as far as it differs.

        Raises:
            ValueError: If it has no weights in 4 bits, which are made as files are read, or no such attention.
        """
        if self.load_in_4bit and not getattr(model, "is_loaded_in_4bit", False):
            raise ValueError(
                f"expected pretrained weights as safetensors to load in 4 bits, got a {type(model).__name__} of others"
            )
        if self.attn_implementation is not None:
            self._set_attention(model)
        if self.load_in_4bit:
            return
        if self.dtype == torch.float32:
            model.float()
            return
        for weight in model.parameters():  # buffers, such as the frequencies of positions, stay in fp32
            weight.data = weight.data.to(self.dtype)

    def _set_attention(self, model: Any) -> None:
        try:
            model.set_attn_implementation(self.attn_implementation)
        except (ImportError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"expected an attn_implementation of {type(model).__name__}, got {self.attn_implementation}: {reason}"
            ) from error


def check_load_options(kind: Kind, args: SizeArguments) -> None:
    """Raise ``ValueError`` if a run on images or sounds names how weights are loaded."""
    if (given := args.size_options()) and kind not in TEXTS:
        raise ValueError(f"expected {', '.join(given)} for {', '.join(TEXTS)} alone, got {kind}")


_options: ContextVar[LoadOptions | None] = ContextVar("how weights are loaded", default=None)


@contextmanager
def loading(options: LoadOptions | None) -> Iterator[None]:
    """Load weights within the block in this way; ``None`` leaves them to the loaders."""
    before = _options.set(options)
    try:
        yield
    finally:
        _options.reset(before)


def load_arguments(**default: Any) -> dict[str, Any]:
    """Return the arguments of ``from_pretrained`` within this block of `loading`, else the default ones."""
    options = _options.get()
    return default if options is None else {**default, **options.source}
