"""Trials of a method's arguments: their validation scores, their file, and the choice of the next one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mubench.hub_builders.utils.atomic import write_text
from mubench.hub_builders.utils.optional import require
from mubench.trainers.tuning.spaces import Categorical, LogFloat, LogInt, Space

DIVERGED = "diverged"
STARTUP_TRIALS = 4  # random ones, before the sampler has a model
SEEDS = 1_000  # offset of the sampler's seed from one draw to the next; more than there are trials


@dataclasses.dataclass(frozen=True)
class Trial:
    """One setting of the arguments and its validation scores.

    Attributes:
        arguments: Those that differ from the defaults.
        values: Validation score on every proxy request that was run: S, or where S is 0 minus the excess of its worst
            part over 1, in [-1, 0].
        passes: Forward and backward passes, as a share of retraining.
        note: Reason of a value of -1: ``diverged``, ``nothing near`` (of another class), ``too dear``, or a flag of
            the model; else empty.
    """

    arguments: dict[str, Any]
    values: list[float]
    passes: float = 0.0
    note: str = ""

    @property
    def value(self) -> float:
        """Mean score over the proxy requests, -1 if one of them failed."""
        return -1.0 if self.note else sum(self.values) / len(self.values)


def merge_trials(trials: Sequence[Trial]) -> Trial:
    """Merge the trials of one setting on several proxy requests."""
    return Trial(
        arguments=trials[0].arguments,
        values=[value for trial in trials for value in trial.values],
        passes=sum(trial.passes for trial in trials) / len(trials),
        note=trials[-1].note,
    )


def best_trial(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the highest value, of equal ones the first: the default before others."""
    return max(trials, key=lambda trial: trial.value)


def read_trials(path: Path, about: Mapping[str, Any]) -> list[Trial]:
    """Return the trials in a file, none if the file does not exist.

    Args:
        path: The file.
        about: Requests and defaults that the trials must be of, as passed to `write_trials`.

    Raises:
        ValueError: If the file holds no trials, or those of other requests or defaults.
    """
    if not path.is_file():
        return []
    there, trials = _read_file(path)
    if there != about:
        raise ValueError(f"expected trials about {about}, got {there} in {path}; give another --out")
    return trials


def has_trials(path: Path, about: Mapping[str, Any]) -> bool:
    """Return whether a file of trials is about these requests and defaults.

    Raises:
        ValueError: If it holds no trials.
    """
    return _read_file(path)[0] == about


def _read_file(path: Path) -> tuple[Any, list[Trial]]:
    """Return what the trials in a file are about, and the trials."""
    try:
        found = json.loads(path.read_text())
        return found.get("about"), [Trial(**one) for one in found["trials"]]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"expected a file of trials, got {path} ({error})") from error


def write_trials(path: Path, about: Mapping[str, Any], trials: Sequence[Trial]) -> None:
    """Write trials with their requests and defaults, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {"about": about, "trials": [dataclasses.asdict(one) for one in trials]}
    write_text(path, json.dumps(found, indent=1) + "\n")


def suggest(space: Space, defaults: Mapping[str, Any], trials: Sequence[Trial], draw: int = 0) -> dict[str, Any]:
    """Return the arguments to try next by TPE (Bergstra et al., 2011), with optuna.

    Args:
        space: Search space.
        defaults: Default of every argument in it.
        trials: Finished trials; those outside the space, as a default may be, are left out.
        draw: Number of earlier suggestions after the same trials.

    Raises:
        FileNotFoundError: If optuna is not installed.
    """
    optuna = _import_optuna()
    distributions = {name: _distribution(optuna, one, defaults[name]) for name, one in space.items()}
    sampler = optuna.samplers.TPESampler(seed=len(trials) + SEEDS * draw, n_startup_trials=STARTUP_TRIALS)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in trials:
        values = {name: trial.arguments.get(name, default) for name, default in defaults.items()}
        if all(one.contains(values[name], defaults[name]) for name, one in space.items()):
            known = optuna.trial.create_trial(params=values, distributions=distributions, value=trial.value)
            study.add_trial(known)
    params = study.ask(distributions).params
    ranged = {name: distributions[name] for name, one in space.items() if not isinstance(one, Categorical)}
    return {name: _round(value, ranged[name]) if name in ranged else value for name, value in params.items()}


def _distribution(optuna: Any, one: LogFloat | Categorical, default: Any) -> Any:
    if isinstance(one, Categorical):
        return optuna.distributions.CategoricalDistribution(one.values)
    kinds = optuna.distributions
    kind = kinds.IntDistribution if isinstance(one, LogInt) else kinds.FloatDistribution
    return kind(*one.bounds(default), log=True)


def _round(value: float, distribution: Any) -> float:
    """Round a float to two digits, within its range."""
    if isinstance(value, int):
        return value
    return min(max(float(f"{value:.2g}"), distribution.low), distribution.high)


def _import_optuna() -> Any:
    optuna = require("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
