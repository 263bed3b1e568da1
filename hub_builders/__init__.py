"""Room 1: what exists on the Hub, from original files to the deletion splits and base models."""

from mubench.hub_builders.tasks import TASKS, Task, get_task

__all__ = ["TASKS", "Task", "get_task"]
