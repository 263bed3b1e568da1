"""Tables of tasks and backbones, the names derived from them, and rows with their ids. Imports `utils`."""

from mubench.hub_builders.tasks.schema import (
    MEDIA,
    TABLE_TIERS,
    TIERS,
    Backbone,
    Column,
    Kind,
    Recipe,
    Source,
    Task,
    Tier,
    get_recipe,
)
from mubench.hub_builders.tasks.table import BACKBONES, TASKS, get_task, in_order

__all__ = [
    "BACKBONES",
    "MEDIA",
    "TABLE_TIERS",
    "TASKS",
    "TIERS",
    "Backbone",
    "Column",
    "Kind",
    "Recipe",
    "Source",
    "Task",
    "Tier",
    "get_recipe",
    "get_task",
    "in_order",
]
