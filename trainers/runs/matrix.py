"""Every method on every task that it applies to: a sweep a task, all with one pool of workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mubench.trainers.runs.bases import Bases
from mubench.trainers.runs.grid_parsers import PRIMARY
from mubench.trainers.runs.method_table import get_method
from mubench.trainers.runs.sweep import Place, Sweep


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Tasks, methods and seeds.

    Attributes:
        tasks: Task keys; none is every task that is built.
        methods: Method keys; none is all. A method is left out of tasks that it does not apply to.
        ratio: Percentage to delete.
        base_seeds: Seeds of the base models.
        retrain_seeds: Seeds of the retrained models.
        seeds: Seeds of the runs.
        place: Data, models and results; its family may be `PRIMARY`.
    """

    tasks: Sequence[str] = ()
    methods: Sequence[str] = ()
    ratio: int = 5
    base_seeds: Sequence[int] = (0,)
    retrain_seeds: Sequence[int] = (0, 1, 2)
    seeds: Sequence[int] = (0,)
    place: Place = field(default_factory=lambda: Place(family=PRIMARY))

    def sweeps(self) -> list[Sweep]:
        """Return a sweep for every task, with its default backbone.

        Raises:
            ValueError: If a task or method is unknown, or the methods apply to none of the tasks.
        """
        for key in self.methods:
            get_method(key)
        grids = Bases(tasks=self.tasks, ratio=self.ratio, place=self.place).sweeps()
        found = [replace(grid, methods=grid.made_for(grid.backbones[0], self.methods)) for grid in grids]
        if not any(grid.methods for grid in found):
            raise ValueError(
                f"expected methods made for {', '.join(g.task for g in grids)}, got {', '.join(self.methods)}"
            )
        return [
            replace(grid, base_seeds=self.base_seeds, retrain_seeds=self.retrain_seeds, seeds=self.seeds)
            for grid in found
            if grid.methods
        ]
