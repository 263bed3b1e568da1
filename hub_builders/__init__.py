"""Room 1: data sets with deletion splits, and repositories on the Hub. Imports neither torch nor a later room.

Data sets are loaded by `load_task`, and `decode` reads their stored media.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from mubench.hub_builders.tasks import TASKS, Task, get_task

if TYPE_CHECKING:
    from mubench.hub_builders.dataset.load import load_task

__all__ = ["TASKS", "Task", "decode", "get_task", "load_task"]

Rows = TypeVar("Rows")


def decode(dataset: Rows) -> Rows:
    """Return a dataset whose stored audio and video read as arrays; other columns stay as they are.

    Audio becomes ``{"array": float32 (samples,), "sampling_rate": int}``, video uint8 (T, H, W, 3). Rows are decoded
    when they are read; what `map` makes of them is stored, so let it drop the columns (``remove_columns``).

    Args:
        dataset: A ``Dataset``, a ``DatasetDict``, or what ``load_dataset(..., streaming=True)`` returns.
    """
    from mubench.hub_builders.dataset.decoding import decode_media  # noqa: PLC0415  (imports datasets)

    return decode_media(dataset)


def __getattr__(name: str) -> Any:
    """Import `load_task`, and with it `datasets`, when it is read."""
    if name == "load_task":
        from mubench.hub_builders.dataset.load import load_task  # noqa: PLC0415

        return load_task
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
