"""Lists that follow from the tables: those of tasks and methods in README, and the public names of `mubench.trainers`.

``python -m mubench.cards.lists`` (``make lists``) writes them into a checkout; a test checks that they are current.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.utils.atomic import write_text
from mubench.hub_builders.utils.cli import run_command
from mubench.hub_builders.utils.declarations import read_module
from mubench.trainers.methods import METHODS
from mubench.trainers.runs.method_table import method_table

README, NAMES = Path("README.md"), Path("trainers", "__init__.py")
JUDGE = "mubench.trainers.runs.own_models"
WIDTH = 119


def fill_readme(text: str) -> str:
    """Return a README whose lists of tasks and methods, between ``<!-- name -->`` and ``<!-- /name -->``, are current.

    Raises:
        ValueError: If a list has no place.
    """
    controls = {key for key, method in method_table().items() if method.is_control}
    methods = [f"`{key}` (a control)" if key in controls else f"`{key}`" for key in METHODS]
    for name, entries in (("tasks", [f"`{key}`" for key in TASKS]), ("methods", methods)):
        place = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)", re.DOTALL)
        if not place.search(text):
            raise ValueError(f"expected <!-- {name} --> and <!-- /{name} --> in {README}, got none")
        text = place.sub(rf"\g<1>{_wrap(entries)}.\g<2>", text)
    return text


def fill_names(text: str) -> str:
    """Return ``trainers/__init__.py`` with current imports for type checkers and a current ``__all__``."""
    classes = {}
    for key, trainer in sorted(METHODS.names.items()):
        defined = read_module(f"{METHODS.package}.{key}").names
        names = (trainer.replace("Trainer", "Arguments"), trainer)
        classes[key] = [name for name in names if isinstance(defined.get(name), ast.ClassDef)]
    imports = [f"    from {METHODS.package}.{key} import {', '.join(names)}\n" for key, names in classes.items()]
    imports.append(f"    from {JUDGE} import judge\n")
    listed = ["METHODS", *sorted(name for names in classes.values() for name in names), "judge"]
    exported = textwrap.indent(_wrap([f'"{name}"' for name in listed]), "    ")
    start = f"    from {METHODS.package} import METHODS\n"
    place = re.compile(rf"(?<={re.escape(start)}).*?^\]", re.DOTALL | re.MULTILINE)
    return place.sub(lambda _: f"{''.join(imports)}\n__all__ = [\n{exported},\n]", text)


def _wrap(entries: Iterable[str]) -> str:
    return textwrap.fill(", ".join(entries), WIDTH - 4, break_long_words=False, break_on_hyphens=False)


def write_lists() -> None:
    """Rewrite the lists of the checkout that is the working directory."""
    for path, fill in ((README, fill_readme), (NAMES, fill_names)):
        text = path.read_text(encoding="utf-8")
        write_text(path, fill(text))


if __name__ == "__main__":
    sys.exit(run_command(write_lists))
