"""Room 1: what exists on the Hub, from original files to the deletion splits and base models."""

from typing import TypeVar

from mubench.hub_builders.tasks import TASKS, Task, get_task

__all__ = ["TASKS", "Task", "decode", "get_task"]

Rows = TypeVar("Rows")


def decode(dataset: Rows) -> Rows:
    """Return a dataset whose stored audio and video read as arrays; other columns stay as they are.

    Audio becomes ``{"array": float32 (samples,), "sampling_rate": int}``, video uint8 (T, H, W, 3). Rows are decoded
    when they are read; what `map` makes of them is stored, so let it drop the columns (``remove_columns``).

    Args:
        dataset: A ``Dataset``, a ``DatasetDict``, or what ``load_dataset(..., streaming=True)`` returns.
    """
    from mubench.hub_builders.dataset.decoding import decode_media  # noqa: PLC0415  (loads datasets and two decoders)

    return decode_media(dataset)
