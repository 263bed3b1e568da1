"""The live table of a sweep: a line for references, runs and rows, with how many are done, running and failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tqdm import tqdm

from mubench.trainers.sweeps.jobs import SweepJob

STAGES = ("references", "unlearning", "judging")


class Progress:
    """A bar for every stage that has jobs.

    Args:
        jobs: All jobs.
    """

    def __init__(self, jobs: Sequence[SweepJob]) -> None:
        counts = Counter(job.stage for job in jobs)
        stages = [stage for stage in STAGES if counts[stage]]
        self._running: dict[str, str] = {}
        self._ended: Counter[tuple[str, str]] = Counter()
        self._bars = {
            stage: tqdm(total=counts[stage], desc=f"{stage:<12}", unit="job", position=place)
            for place, stage in enumerate(stages)
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for bar in self._bars.values():
            bar.close()

    def start(self, job: SweepJob) -> None:
        """Count a job as running."""
        self._running[job.key] = job.stage
        self._show(job.stage)

    def hold(self, job: SweepJob) -> None:
        """Count a job no longer as running: another process works on its run."""
        self._running.pop(job.key, None)
        self._show(job.stage)

    def end(self, job: SweepJob, state: str) -> None:
        """Count a job as ended: ``done``, ``failed`` or ``blocked``."""
        self._running.pop(job.key, None)
        self._ended[job.stage, state] += 1
        self._show(job.stage)
        self._bars[job.stage].update()

    def _show(self, stage: str) -> None:
        running = sum(one == stage for one in self._running.values())
        counts = {"running": running, **{name: self._ended[stage, name] for name in ("failed", "blocked")}}
        self._bars[stage].set_postfix({name: count for name, count in counts.items() if count}, refresh=False)
