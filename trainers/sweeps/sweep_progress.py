"""The live table of a sweep: a line for references, runs and rows, with how many are done, running and failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
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
        self._running: dict[str, SweepJob] = {}  # the newest last
        self._drawn: dict[str, tuple[float, str]] = {}
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

    def end(self, job: SweepJob, state: str) -> None:
        """Count a job as ended: ``done``, ``failed`` or ``blocked``."""
        self._ended[job.stage, state] += 1
        self._bars[job.stage].update()

    def show(self, running: Iterable[SweepJob]) -> None:
        """Draw every bar that changed, now: the next job may take hours.

        Args:
            running: The jobs that run at present; the label of the newest is shown.
        """
        now = {job.key: job for job in running}
        self._running = {key: job for key, job in self._running.items() if key in now} | now
        for stage, bar in self._bars.items():
            text = self._describe(stage)
            if self._drawn.get(stage) != (bar.n, text):
                self._drawn[stage] = bar.n, text
                bar.set_postfix_str(text, refresh=True)

    def _describe(self, stage: str) -> str:
        labels = [job.label for job in self._running.values() if job.stage == stage]
        counts = {"running": len(labels), **{name: self._ended[stage, name] for name in ("failed", "blocked")}}
        return ", ".join([*(f"{name}={count}" for name, count in counts.items() if count), *labels[-1:]])
