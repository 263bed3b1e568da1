"""The live table of a sweep: a line for references, runs and rows, with how many are done, running and failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from mubench.trainers.sweeps.jobs import MethodJob, SweepJob

STAGES = ("references", "unlearning", "judging")
_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {count} [{elapsed}<{remaining}{postfix}]"


class _Bar(tqdm):  # type: ignore[misc]  # it has no types
    """A bar over the cost of a stage's jobs, which also shows their number.

    Attributes:
        jobs: Keys of all jobs of the stage.
        ended: Keys of the jobs that have ended.
    """

    def __init__(self, stage: str, jobs: Sequence[SweepJob], **options: Any) -> None:
        self.jobs = {job.key for job in jobs}
        self.ended: set[str] = set()
        self.has_started = False
        super().__init__(desc=f"{stage:<12}", bar_format=_FORMAT, **options)
        self.leave = self.fp.isatty()  # a file has the last line already

    @property
    def format_dict(self) -> dict[str, Any]:
        return {**super().format_dict, "count": f"{len(self.ended)}/{len(self.jobs)}"}

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Draw the bar in a terminal; into a file, write it as one line without cursor codes."""
        if self.fp.isatty():
            return bool(super().display(msg, pos))
        if msg is None:
            self.fp.write(f"{self}\n")
        return False

    def weigh(self, costs: Mapping[str, float]) -> None:
        """Fill the bar by the cost of the jobs that have ended; where none has a cost, by their number."""
        total = sum(costs[key] for key in self.jobs)
        self.total = total or len(self.jobs)
        self.n = sum(costs[key] if total else 1 for key in self.ended)

    def begin(self) -> None:
        """Start the clock, once: jobs of an earlier stage tell nothing about the time that is left."""
        if not self.has_started:
            self.has_started = True
            self.start_t = self.last_print_t = self._time()  # a bar that was printed before it started ends no line


class Progress:
    """A bar for every stage that has jobs.

    Args:
        jobs: All jobs.
        costs: Returns what each job takes, by its key and in any unit; it is called again whenever a task and
            backbone has its first finished job, or its first of a method. Without it, all take the same.
    """

    def __init__(self, jobs: Sequence[SweepJob], costs: Callable[[], Mapping[str, float]] | None = None) -> None:
        self._costs = costs or (lambda: dict.fromkeys((job.key for job in jobs), 1.0))
        self._timed: set[tuple[str, str, str | None]] = set()
        self._running: dict[str, SweepJob] = {}  # the newest last
        self._drawn: dict[str, tuple[float, str]] = {}
        self._ended: Counter[tuple[str, str]] = Counter()
        held = {stage: [job for job in jobs if job.stage == stage] for stage in STAGES}
        stages = [stage for stage in STAGES if held[stage]]
        self._bars = {stage: _Bar(stage, held[stage], position=place) for place, stage in enumerate(stages)}
        self._weights = self._costs()

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
        self._bars[job.stage].ended.add(job.key)
        kind = job.task, job.backbone, job.method if isinstance(job, MethodJob) else None
        if state == "done" and kind not in self._timed:
            self._timed.add(kind)
            self._weights = self._costs()

    def show(self, running: Iterable[SweepJob]) -> None:
        """Draw every bar that changed, now: the next job may take hours.

        Args:
            running: The jobs that run at present; the label of the newest is shown.
        """
        now = {job.key: job for job in running}
        self._running = {key: job for key, job in self._running.items() if key in now} | now
        for stage, bar in self._bars.items():
            bar.weigh(self._weights)
            if any(job.stage == stage for job in now.values()):
                bar.begin()
            text = self._describe(stage)
            if self._drawn.get(stage) != (len(bar.ended), text):
                self._drawn[stage] = len(bar.ended), text
                bar.set_postfix_str(text, refresh=True)

    def _describe(self, stage: str) -> str:
        labels = [job.label for job in self._running.values() if job.stage == stage]
        counts = {"running": len(labels), **{name: self._ended[stage, name] for name in ("failed", "blocked")}}
        return ", ".join([*(f"{name}={count}" for name, count in counts.items() if count), *labels[-1:]])
