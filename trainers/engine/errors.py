"""Errors that stop a run, and context managers that turn too little memory and a full disk into one of them.

Importing this module loads no torch.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

TRAINING = "lower --per_device_train_batch_size (and raise --gradient_accumulation_steps to keep the step)"
EVALUATION = "lower --per_device_eval_batch_size"
# Part of the CPU allocator's message; it raises a plain RuntimeError.
_CPU = "can't allocate memory"
# A full disk, a quota and a limit of a file's size, as Python, safetensors and torch report them.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_WRITTEN = re.compile(
    rf"os error ({'|'.join(map(str, _NO_SPACE))})\b|PytorchStreamWriter failed|unexpected pos \d"
)


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


class FullDiskError(OSError):
    """A file could not be written, since the disk is full or a quota is used up."""


@contextmanager
def explain_full_disk(folder: object) -> Iterator[None]:
    """Turn the error of a full disk, of any writer, into one line.

    Args:
        folder: Where the block writes.

    Raises:
        FullDiskError: If a file cannot be written within the block.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        full = isinstance(error, OSError) and error.errno in _NO_SPACE
        if not full and not _NOT_WRITTEN.search(str(error)):
            raise
        got = error.strerror if isinstance(error, OSError) and error.strerror else "a file that was cut short"
        raise FullDiskError(
            f"expected space on the disk of {folder}, got: {got}; make some, and the same command goes on"
        ) from error
