"""`CostedTrainer`: what a run costs, over all its processes and with what it had cost before it was resumed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import torch
from transformers import Trainer


class CostedTrainer(Trainer):
    """Counts the seconds of a run; a subclass adds to `costs` what else it counts.

    Attributes:
        spent_before: What the run had cost when the checkpoint was written that it goes on from.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spent_before: dict[str, float] = {}
        self._started: float | None = None
        self._aside = 0.0

    def costs(self) -> dict[str, float]:
        """Return what this process has spent on the run."""
        running = time.perf_counter() - self._started if self._started is not None else 0.0
        return {"seconds": max(running - self._aside, 0.0)}

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Leave what is done within the block out of what the run costs."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._aside += time.perf_counter() - began

    def start_clock(self) -> None:
        """Start counting seconds, unless they are counted already."""
        self._started = time.perf_counter() if self._started is None else self._started

    def spent(self) -> dict[str, float]:
        """Return what the run has cost in all processes, with what it had cost before it was resumed.

        Every process has to ask. Counts are summed; seconds are those of the slowest process.
        """
        costs = self.costs()
        if self.args.world_size > 1:
            own = torch.tensor([list(costs.values())], dtype=torch.float64, device=self.args.device)
            everyone = self.accelerator.gather(own)  # (processes, costs)
            costs = {
                name: float(values.max()) if name == "seconds" else int(values.sum())
                for name, values in zip(costs, everyone.unbind(1), strict=True)
            }
        return {name: value + self.spent_before.get(name, 0) for name, value in costs.items()}
