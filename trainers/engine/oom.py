"""TeacherCache that ran out, told in one line with the argument to lower."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

TRAINING = "lower --per_device_train_batch_size (and raise --gradient_accumulation_steps to keep the step)"
EVALUATION = "lower --per_device_eval_batch_size"
# What the CPU allocator says; there is no type for it.
_CPU = "can't allocate memory"


class TooLittleMemoryError(MemoryError):
    """A device had less memory than a batch takes."""


@contextmanager
def explain_out_of_memory(doing: str, advice: str) -> Iterator[None]:
    """Turn what the allocators raise into one line.

    Args:
        doing: What needs the memory.
        advice: What to do about it.

    Raises:
        TooLittleMemoryError: If memory runs out within the block.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        known = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or _CPU in str(error)
        if not known or isinstance(error, TooLittleMemoryError):
            raise
        sentences = re.split(r"\. |\n", str(error))
        got = next((said for said in sentences if "memory" in said), type(error).__name__)
        raise TooLittleMemoryError(f"expected enough memory for {doing}, got: {got}; {advice}") from error
