"""Packages that only some commands need; a missing one raises a one-line error with its install command."""

from __future__ import annotations

import importlib.util
from typing import Any

# What a package is needed for, and the extra that brings it.
EXTRAS = {
    "av": ("video", "read and write videos"),
    "soundfile": ("audio", "read and write recordings"),
    "diffusers": ("text-to-image", "generate images"),
    "gradio": ("space", "serve the Space"),
    "optuna": ("sweep", "suggest trials"),
    "ray": ("sweep", "run sweeps on a cluster"),
    "submitit": ("sweep", "run sweeps on Slurm"),
    "tensorboard": ("track", "report to tensorboard"),
    "trackio": ("track", "report to trackio"),
    "sentencepiece": ("text", "read the tokenizers of some language models"),
}


def check_package(name: str) -> None:
    """Check that an optional package is installed, without importing it.

    Raises:
        FileNotFoundError: If it is not.
    """
    if importlib.util.find_spec(name) is None:
        extra, purpose = EXTRAS[name]
        raise FileNotFoundError(f"expected the package {name} to {purpose}, got none: pip install 'mubench[{extra}]'")


def require(name: str) -> Any:
    """Import an optional package.

    Raises:
        FileNotFoundError: If it is not installed.
    """
    check_package(name)
    return importlib.import_module(name)
