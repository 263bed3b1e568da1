"""The versions and the device that a model is made with, for its ``run.json``."""

from __future__ import annotations

import contextlib
import importlib.metadata
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import torch

from mubench.trainers.engine.distributed import world_size

VERSIONED = ("torch", "transformers", "datasets", "accelerate", "numpy")
SUITE, COMMIT = "mubench", "commit"
_ROOT = Path(__file__).resolve().parents[2]


def environment(device: torch.device) -> dict[str, Any]:
    """Return the library versions, the suite's commit in a checkout, and the device of every process."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    many = f"{world_size()} x " if world_size() > 1 else ""
    versions = {name: importlib.metadata.version(name) for name in VERSIONED}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # a packed Space has the suite's files alone
        versions[SUITE] = importlib.metadata.version(SUITE)
    if (commit := source_commit(_ROOT)) is not None:
        versions[COMMIT] = commit
    return {"versions": versions, "device": f"{many}{name}"}


@cache
def source_commit(root: Path) -> str | None:
    """Return the commit that is checked out in a folder, ``-dirty`` if files differ from it.

    ``None`` where the folder is not the root of a git repository, as an installed package is not, or git is missing.
    """
    try:
        if Path(_git(root, "rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return None  # the repository of somebody who keeps an environment in it
        return _git(root, "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *words: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(root), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
