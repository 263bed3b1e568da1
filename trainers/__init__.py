"""Room 2: what happens to a model, and how it is judged."""

from mubench.trainers.methods import METHODS
from mubench.trainers.metrics import METRICS

__all__ = ["METHODS", "METRICS"]
