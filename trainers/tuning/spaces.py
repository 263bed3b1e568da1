"""Search spaces: at most four arguments of a method, as factors of their defaults or as choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LogFloat:
    """A range of positive factors of a default, uniform on a logarithmic scale."""

    low: float
    high: float

    def bounds(self, default: float) -> tuple[float, float]:
        """Return the smallest and the largest value."""
        return default * self.low, default * self.high

    def contains(self, value: float, default: float) -> bool:
        """Return whether a value lies in the range around a default."""
        low, high = self.bounds(default)
        return low <= value <= high


@dataclass(frozen=True)
class LogInt(LogFloat):
    """A `LogFloat` over integers from 1."""

    def bounds(self, default: float) -> tuple[int, int]:
        """Return the smallest and the largest value."""
        return max(1, round(default * self.low)), max(1, round(default * self.high))


@dataclass(frozen=True)
class Categorical:
    """One of some values."""

    values: tuple[Any, ...]

    def contains(self, value: Any, default: Any) -> bool:
        """Return whether a value is among them, whatever the default."""
        return value in self.values


Space = dict[str, LogFloat | Categorical]

_RATE = LogFloat(0.1, 10.0)
_TRAINED: Space = {"learning_rate": _RATE, "num_train_epochs": LogInt(0.25, 2.0)}
# An epoch over the forget set is short, with or without as many retain examples.
_FORGETTING: Space = {"learning_rate": _RATE, "num_train_epochs": LogInt(0.25, 4.0)}

# fmt: off
SPACES: dict[str, Space] = {
    "neg_grad":        _FORGETTING,
    "delete":          _FORGETTING,
    "ce_u":            _FORGETTING,
    "salun":           {**_TRAINED, "rho": Categorical((0.2, 0.5, 0.8))},
    "bad_teaching":    {**_TRAINED, "retain_share": Categorical((0.1, 0.3, 1.0))},
    "scrub":           {**_TRAINED, "alpha": LogFloat(0.1, 10.0), "msteps": Categorical((1, 2, 3))},
    "neg_grad_plus":   {**_TRAINED, "alpha": Categorical((0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.9995, 0.9998))},
    "l1_sparse":       {**_TRAINED, "gamma": _RATE},
    "noise_ft":        {**_TRAINED, "sigma": LogFloat(0.2, 5.0)},
    "lotus":           {**_TRAINED, "alpha": LogFloat(0.2, 5.0), "retain_share": Categorical((0.1, 0.3, 1.0))},
    "undial":          {**_FORGETTING, "beta": LogFloat(0.3, 3.0), "alpha": Categorical((0.0, 1.0))},
    "kl_min":          {**_FORGETTING, "alpha": LogFloat(0.1, 10.0)},
    "npo":             {**_FORGETTING, "beta": LogFloat(0.1, 10.0), "alpha": LogFloat(0.1, 10.0)},
    "simnpo":          {**_FORGETTING, "gamma": LogFloat(0.1, 10.0), "beta": LogFloat(0.2, 5.0)},
    "dpo":             {**_FORGETTING, "beta": LogFloat(0.1, 10.0), "alpha": LogFloat(0.1, 10.0)},
    "jensun":          {**_FORGETTING, "alpha": LogFloat(0.1, 10.0)},
    "wga":             {**_FORGETTING, "beta": LogFloat(0.1, 10.0), "alpha": LogFloat(0.1, 10.0)},
    "rmu":             {**_FORGETTING, "c": LogFloat(0.3, 10.0), "alpha": LogFloat(0.01, 10.0)},
    "multi_delete":    {**_TRAINED, "alpha": LogFloat(0.2, 5.0), "beta": LogFloat(0.2, 5.0)},
    "esd":             {**_FORGETTING, "eta": LogFloat(0.3, 3.0)},
    "task_vector":     {**_TRAINED, "alpha": LogFloat(0.2, 5.0)},
    "undo":            {**_TRAINED, "alpha": LogFloat(0.2, 2.0), "first_rate": _RATE},
    "ssd":             {"alpha": LogFloat(0.05, 20.0), "dampening": LogFloat(0.1, 1.0)},
    "fisher":          {"alpha": LogFloat(0.1, 100.0)},
    "influence":       {"alpha": LogFloat(0.01, 10.0), "damping": LogFloat(0.01, 10.0)},
    "sfron":           {**_TRAINED, "alpha": LogFloat(0.1, 10.0), "gamma": LogFloat(0.3, 3.0)},
    "msg":             {**_TRAINED, "share": Categorical((0.1, 0.3, 0.5)), "rest": Categorical((0.03, 0.1, 0.3))},
    "boundary_shrink": {**_TRAINED, "epsilon": LogFloat(0.1, 3.0)},
    "ct":              {"learning_rate": _RATE, "num_train_epochs": LogInt(0.5, 1.0)},
    "unsir":           {**_TRAINED, "noise_rate": _RATE},
    "amun":            {**_TRAINED, "radius": LogFloat(0.3, 10.0)},
}
# fmt: on


def space_of(method: str) -> Space:
    """Return the search space of a method, by default learning rate and epochs."""
    return SPACES.get(method, _TRAINED)
