"""The versions and the device that a model is made with, for its ``run.json``."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import torch

from mubench.trainers.engine.distributed import world_size

VERSIONED = ("torch", "transformers", "datasets", "accelerate", "numpy")
SUITE, COMMIT = "mubench", "commit"
_ROOT = Path(__file__).resolve().parents[2]
_LONGEST_S = 10.0  # that git gets


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
    """Return the commit that is checked out in a folder, ``-dirty`` if files of it differ; new files do not count.

    ``None`` where the folder is not the root of a git repository, as an installed package is not, where git is
    missing, and where the repository is another user's.
    """
    try:
        if _git(root, "rev-parse", "--show-prefix"):
            return None  # the repository of somebody who keeps an environment in it
        return _git(root, "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *words: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(root), *words]
    # A hook of git exports the repository it runs in, which need not be this one.
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", check=True, env=own, timeout=_LONGEST_S
    )
    return done.stdout.strip()
