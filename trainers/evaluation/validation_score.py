"""S with validation rows in place of test rows: tuning maximises it, and `--keep oracle` selects epochs by it."""

from __future__ import annotations

from collections.abc import Sequence

from mubench.trainers.evaluation.group import Group
from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.metrics.accuracy import majority_baseline
from mubench.trainers.metrics.case import Case
from mubench.trainers.metrics.evidence import SplitOutputs
from mubench.trainers.metrics.score import parts


def validation_as_test(model: SplitOutputs) -> dict[str, Outputs]:
    """Return a model's outputs on ``forget`` and ``retain``, and those on ``validation`` as ``test``."""
    return {"forget": model["forget"], "retain": model["retain"], "test": model["validation"]}


def validation_score(model: SplitOutputs, retrained: Sequence[SplitOutputs], bases: Sequence[SplitOutputs]) -> float:
    """Return S with validation rows in place of test rows; where S is 0, 1 minus its worst part, at least -1.

    Args:
        model: Outputs of the judged model: ``forget``, ``retain`` and ``validation``.
        retrained: Outputs of the retrained models.
        bases: Outputs of the base models.

    Raises:
        NoSignal: If S would divide by 0.
    """
    others = [validation_as_test(other) for other in retrained]
    chance = majority_baseline(others[0]["test"])
    case = Case(validation_as_test(model), others, [validation_as_test(base) for base in bases], chance)
    found = parts(case)
    worst = max(found.row, found.mean, found.membership, found.utility)
    return float(found.score) or max(-1.0, min(0.0, 1 - worst))


class ValidationScore:
    """The `validation_score` of a run's epochs, which takes the reference models.

    A run whose epoch it selects has used the models that it is judged against: its row is marked
    ``oracle_selection`` and ranks apart. Outputs of the references are read at the first call.

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
        """Seeds of the reference models."""
        return {"retrained_seeds": sorted(self.group.retrained), "base_seeds": sorted(self.group.bases)}

    def __call__(self, model: SplitOutputs) -> float:
        """Return the score of an epoch's outputs; the references are taken on the same rows."""
        if self._references is None:
            retrained, bases = self.group.references()
            self._references = _same_rows(model, retrained), _same_rows(model, bases)
        return validation_score(model, *self._references)


def _same_rows(model: SplitOutputs, others: Sequence[SplitOutputs]) -> list[SplitOutputs]:
    return [{split: other[split].select(outputs.ids) for split, outputs in model.items()} for other in others]
