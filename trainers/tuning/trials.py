"""Trials of a method's arguments: what was tried, how it came out, and what to try next."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from mubench.hub_builders.utils.atomic import write_text
from mubench.trainers.tuning.spaces import Categorical, LogFloat, LogInt, Space

AT_RANDOM = 4  # trials before the sampler has enough to go by


@dataclasses.dataclass(frozen=True)
class Trial:
    """One setting and how it came out.

    Attributes:
        arguments: What differs from the defaults.
        values: For every task and draw that it was run on S, or where that is 0 how far the worst of its parts lies
            beyond 1: 0 down to -1.
        passes: Forward and backward passes, as a share of retraining.
        note: Why a value is -1: ``diverged``, ``nothing near`` (of another class), ``too dear``, a flag of the model,
            or nothing.
    """

    arguments: dict[str, Any]
    values: list[float]
    passes: float = 0.0
    note: str = ""

    @property
    def value(self) -> float:
        """What a setting is worth: the mean of all tasks and draws, -1 if one of them was of no use."""
        return -1.0 if self.note else sum(self.values) / len(self.values)


def as_one(trials: Sequence[Trial]) -> Trial:
    """Return the trials of one setting on several tasks and draws as one."""
    return Trial(
        arguments=trials[0].arguments,
        values=[value for trial in trials for value in trial.values],
        passes=sum(trial.passes for trial in trials) / len(trials),
        note=trials[-1].note,
    )


def read_trials(path: Path, about: Mapping[str, Any]) -> list[Trial]:
    """Return the trials of a file, none if it is not there.

    Args:
        path: The file.
        about: What the trials must have been about, as it was written.

    Raises:
        ValueError: If it is no file of trials, or they are about something else.
    """
    if not path.is_file():
        return []
    try:
        found = json.loads(path.read_text())
        trials = [Trial(**one) for one in found["trials"]]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"expected a file of trials, got {path} ({error})") from error
    if found.get("about") != about:
        raise ValueError(f"expected trials about {about}, got {found.get('about')} in {path}; give another --out")
    return trials


def write_trials(path: Path, about: Mapping[str, Any], trials: Sequence[Trial]) -> None:
    """Write trials and what they are about, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {"about": about, "trials": [dataclasses.asdict(one) for one in trials]}
    write_text(path, json.dumps(found, indent=1) + "\n")


class Study:
    """Chooses what to try next: TPE (Bergstra et al., 2011), by optuna.

    Args:
        space: What may be changed.
        usual: The defaults of it.
        done: Finished trials, which it goes by.

    Raises:
        ModuleNotFoundError: If optuna is not there.
    """

    def __init__(self, space: Space, usual: Mapping[str, Any], done: Sequence[Trial]) -> None:
        self.optuna = _optuna()
        self.usual, self.choices = usual, space
        self.space = {name: self._distribution(name, one) for name, one in space.items()}
        sampler = self.optuna.samplers.TPESampler(seed=len(done), n_startup_trials=AT_RANDOM)
        self.study = self.optuna.create_study(direction="maximize", sampler=sampler)
        for trial in done:
            self.tell(trial)

    def _distribution(self, name: str, one: LogFloat | Categorical) -> Any:
        if isinstance(one, Categorical):
            return self.optuna.distributions.CategoricalDistribution(one.values)
        if isinstance(one, LogInt):
            return self.optuna.distributions.IntDistribution(*one.ends(self.usual[name]), log=True)
        return self.optuna.distributions.FloatDistribution(*one.ends(self.usual[name]), log=True)

    def tell(self, trial: Trial) -> None:
        """Learn how a trial came out; one outside the space, as a default may be, says nothing."""
        values = {name: trial.arguments.get(name, self.usual[name]) for name in self.space}
        if all(one.holds(values[name], self.usual[name]) for name, one in self.choices.items()):
            made = self.optuna.trial.create_trial(params=values, distributions=self.space, value=trial.value)
            self.study.add_trial(made)

    def next(self) -> dict[str, Any]:
        """Return what to try next."""
        return {name: self._rounded(name, value) for name, value in self.study.ask(self.space).params.items()}

    def _rounded(self, name: str, value: Any) -> Any:
        """Return a number with two digits, which is what a table of defaults shows, within its range."""
        if not isinstance(value, float) or isinstance(self.choices[name], Categorical):
            return value
        space = self.space[name]
        return min(max(float(f"{value:.2g}"), space.low), space.high)


def _optuna() -> Any:
    try:
        optuna = import_module("optuna")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("expected optuna, got none; install it with: pip install optuna") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
