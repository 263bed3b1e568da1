"""S with validation rows in place of test rows: what tuning maximises, and what `--keep oracle` chooses by."""

from __future__ import annotations

from collections.abc import Sequence

from mubench.trainers.evaluation.references import Group
from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.metrics.accuracy import majority_baseline
from mubench.trainers.metrics.case import Case, SplitOutputs
from mubench.trainers.metrics.score import parts


def validated(views: SplitOutputs) -> dict[str, Outputs]:
    """Return a model's views with validation rows as ``test``; of no other split anything is left."""
    return {"forget": views["forget"], "retain": views["retain"], "test": views["validation"]}


def validation_score(model: SplitOutputs, retrained: Sequence[SplitOutputs], bases: Sequence[SplitOutputs]) -> float:
    """Return S with validation rows in place of test rows, or where S is 0 how far beyond it is: 0 down to -1.

    Args:
        model: Outputs of the judged model: ``forget``, ``retain``, ``validation``; no other is looked at.
        retrained: Outputs of the retrained models.
        bases: Outputs of the base models.

    Raises:
        NoSignal: If S would divide by nothing.
    """
    others = [validated(views) for views in retrained]
    case = Case(validated(model), others, [validated(views) for views in bases], majority_baseline(others[0]["test"]))
    found = parts(case)
    worst = max(found.row, found.mean, found.membership, found.utility)
    return float(found.score) or max(-1.0, min(0.0, 1 - worst))


class ValidationScore:
    """What a run's epochs are worth to somebody who has the retrained models: `validation_score`.

    What it chooses has seen what a run is judged against, so that rows of it are marked ``oracle_selection`` and rank
    apart. The models' outputs are read when it is first asked, by the one process that asks.

    Args:
        group: Base and retrained models.

    Raises:
        FileNotFoundError: If some are missing; the message names the command.
    """

    def __init__(self, group: Group) -> None:
        group.require()
        self.group = group
        self._references: tuple[list[SplitOutputs], list[SplitOutputs]] | None = None

    @property
    def seeds(self) -> dict[str, list[int]]:
        """Seeds of the models that it reads."""
        return {"retrained_seeds": sorted(self.group.retrained), "base_seeds": sorted(self.group.bases)}

    def __call__(self, model: SplitOutputs) -> float:
        """Return what an epoch's views are worth; of retain rows a look takes some alone, always the same ones."""
        if self._references is None:
            retrained, bases = self.group.references()
            self._references = _same_rows(model, retrained), _same_rows(model, bases)
        return validation_score(model, *self._references)


def _same_rows(model: SplitOutputs, others: Sequence[SplitOutputs]) -> list[SplitOutputs]:
    return [{name: views[name].select(seen.ids) for name, seen in model.items()} for views in others]
