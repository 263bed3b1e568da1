"""S with validation rows in place of test rows: what tuning maximises, and what `--keep oracle` chooses by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mubench.hub_builders.answers import Answers
from mubench.hub_builders.workbench import Workbench
from mubench.trainers.metrics.accuracy import guessed
from mubench.trainers.metrics.case import Case, Views
from mubench.trainers.metrics.score import parts
from mubench.trainers.references import find_group

Worth = Callable[[Views], float]


def validated(views: Views) -> dict[str, Answers]:
    """Return a model's views with validation rows as ``test``; of no other split anything is left."""
    return {"forget": views["forget"], "retain": views["retain"], "test": views["validation"]}


def validation_score(model: Views, retrained: Sequence[Views], bases: Sequence[Views]) -> float:
    """Return S with validation rows in place of test rows, or where S is 0 how far beyond it is: 0 down to -1.

    Args:
        model: Views of the judged model: ``forget``, ``retain``, ``validation``; no other is looked at.
        retrained: Views of the retrained models.
        bases: Views of the base models.

    Raises:
        NoSignal: If S would divide by nothing.
    """
    others = [validated(views) for views in retrained]
    case = Case(validated(model), others, [validated(views) for views in bases], guessed(others[0]["test"]))
    found = parts(case)
    worst = max(found.row, found.mean, found.membership, found.utility)
    return float(found.score) or max(-1.0, min(0.0, 1 - worst))


def oracle(bench: Workbench, ratio: int, models: Path) -> Worth:
    """Return what a run's epochs are worth to somebody who has the retrained models: `validation_score`.

    What it chooses has seen what a run is judged against, so that rows of it are marked ``oracle_selection`` and rank
    apart.

    Args:
        bench: Task and backbone.
        ratio: Percentage to delete.
        models: Folder of base and retrained models.

    Raises:
        FileNotFoundError: If base or retrained models are missing; the message names the command.
    """
    group = find_group(bench, ratio, models)
    group.require()
    retrained, bases = ([group.views(one) for one in side.values()] for side in (group.retrained, group.bases))

    def worth(model: Views) -> float:
        # Of retain rows an epoch's look takes some alone.
        same = [
            [{name: views[name].select(seen.ids) for name, seen in model.items()} for views in side]
            for side in (retrained, bases)
        ]
        return validation_score(model, *same)

    return worth
