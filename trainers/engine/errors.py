"""Errors that stop a run, and the context manager that turns an out-of-memory error into one of them.

Importing this module loads no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

TRAINING = "lower --per_device_train_batch_size (and raise --gradient_accumulation_steps to keep the step)"
EVALUATION = "lower --per_device_eval_batch_size"
# Part of the CPU allocator's message; it raises a plain RuntimeError.
_CPU = "can't allocate memory"


class NonFiniteError(FloatingPointError):
    """A loss or a weight became NaN or infinite; the run stopped before anything was saved."""


class TooLittleMemoryError(MemoryError):
    """A device had less memory than a batch takes."""


@contextmanager
def explain_out_of_memory(activity: str, advice: str) -> Iterator[None]:
    """Turn an out-of-memory error into one line that names the argument to lower.

    Args:
        activity: What needs the memory.
        advice: Which argument to lower.

    Raises:
        TooLittleMemoryError: If memory runs out within the block.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # torch.OutOfMemoryError, by its name: importing torch takes seconds.
        out_of_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
        if not (out_of_memory or _CPU in str(error)) or isinstance(error, TooLittleMemoryError):
            raise
        sentences = re.split(r"\. |\n", str(error))
        got = next((sentence for sentence in sentences if "memory" in sentence), type(error).__name__)
        raise TooLittleMemoryError(f"expected enough memory for {activity}, got: {got}; {advice}") from error
