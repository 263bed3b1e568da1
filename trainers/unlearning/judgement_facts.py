"""Fields of a model card that come from its judgement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mubench.trainers.metrics import DESCRIPTIONS

if TYPE_CHECKING:
    from mubench.trainers.evaluation.judge import Judgement
    from mubench.trainers.evaluation.result import Result


def judgement_facts(found: Judgement | Result) -> dict[str, Any]:
    """Return the fields of a `TrainingCard` about what `judge` has found, S first."""
    names = sorted(found.metrics, key=lambda name: name != "score")
    remarks = []
    if found.interval:
        low, high = found.interval.low, found.interval.high
        count = len(found.references.retrained)
        remarks.append(f"95 % interval of S: {low:.2f} to {high:.2f} (one seed, {count} retrained models).")
    if found.no_signal:
        remarks.append(f"{found.no_signal}; this run is not ranked.")
    if found.flags:
        remarks.append(f"Flags: {', '.join(found.flags)}; this run is not ranked.")
    return {"scores": [_line(name, found) for name in names], "remarks": remarks}


def _line(name: str, found: Judgement | Result) -> tuple[str, str, str]:
    """Return title, value and value of the retrained models."""
    value, known = found.metrics[name], DESCRIPTIONS[name]
    unit = f" {known.unit}" if known.unit else ""
    return known.title, f"{value.value:.3f}{unit}", "-" if value.retrained is None else f"{value.retrained:.3f}"
