"""Lists that follow from the code: tasks, methods and memory in README and docs, and names of `mubench.trainers`.

``python -m mubench.cards.lists`` (``make lists``) writes them into a checkout; a test checks that they are current.
"""

from __future__ import annotations

import ast
import dataclasses
import itertools
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mubench.hub_builders.tasks import TASKS, Task
from mubench.hub_builders.tasks.schema import Tier
from mubench.hub_builders.utils.atomic import write_text
from mubench.hub_builders.utils.cli import run_command
from mubench.hub_builders.utils.registry import read_module
from mubench.trainers.methods import METHODS
from mubench.trainers.models.memory import FP32, ModelShape, StepPlan, step_bytes, step_seconds
from mubench.trainers.runs.method_table import SHORT, Method, method_table

JUDGE = "mubench.trainers.runs.own_models"
WIDTH = 119
# Configs of Llama 3.2 1B and 3B, and of Llama 2 7B.
SIZES = {
    "1 B": ModelShape(layers=16, hidden=2048, intermediate=8192, query=2048, key=512, vocabulary=128_256),
    "3 B": ModelShape(layers=28, hidden=3072, intermediate=8192, query=3072, key=1024, vocabulary=128_256),
    "7 B": ModelShape(
        layers=32, hidden=4096, intermediate=11_008, query=4096, key=4096, vocabulary=32_000, tied=False
    ),
}
FULL = StepPlan(rows=16, tokens=256, teacher=True)
SPARING = dataclasses.replace(FULL, weight_bytes=2, checkpointing=True)
PLANS = {
    "all weights in fp32": FULL,
    "all weights in bfloat16, checkpointing": SPARING,
    "LoRA of rank 8, bfloat16, checkpointing": dataclasses.replace(SPARING, lora_rank=8),
}
# Half of what the data sheet of an A100 states, in operations per second, by the bytes of a weight.
RATES = {FP32: 10e12, 2: 150e12}
GPUS = (1, 2, 8)


def fill_lists(text: str) -> str:
    """Return a page whose lists, between ``<!-- name -->`` and ``<!-- /name -->``, are current.

    Raises:
        ValueError: If the page has no place for a list, or one for an unknown list.
    """
    places = re.findall(r"^<!-- (\w+) -->$", text, re.MULTILINE)
    if not places or (unknown := set(places) - LISTS.keys()):
        raise ValueError(
            f"expected places of the lists {', '.join(LISTS)}, got {', '.join(unknown) if places else 'none'}"
        )
    for name in places:
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(start)
        text = f"{before}{start}\n{LISTS[name]()}\n\n{end}{rest.partition(end)[2]}"
    return text


def _task_keys() -> str:
    return f"{_wrap([f'`{key}`' for key in TASKS])}."


def _task_table() -> str:
    rows = [
        (f"`{key}`", task.title, task.kind.replace("_", " "), _sizes(task, "full"), _sizes(task, "mini"),
         task.licence)
        for key, task in TASKS.items()
    ]  # fmt: skip
    return _table(("key", "task", "kind", "full: training / test rows", "mini", "licence"), rows)


def _sizes(task: Task, tier: Tier) -> str:
    sizes = task.counts.get(tier)
    return f"{sizes['train']:,} / {sizes['test']:,}" if sizes else "none"


def _papers() -> str:
    rows = [(_title(key, method), _source(method)) for key, method in method_table().items()]
    return _table(("method", "paper"), rows)


def _method_table() -> str:
    rows = [
        (_title(key, method), method.summary, _kinds(method), _source(method))
        for key, method in method_table().items()
    ]
    return _table(("method", "what it does", "kinds of task", "paper"), rows)


def _kinds(method: Method) -> str:
    return "all" if set(method.kinds) == SHORT.keys() else ", ".join(SHORT[kind] for kind in method.kinds)


def _title(key: str, method: Method) -> str:
    return f"`{key}` (a control)" if method.is_control else f"`{key}`"


def _source(method: Method) -> str:
    """Return authors, venue and year of a method's paper, with its link."""
    paper = method.paper
    if paper is None or paper.arxiv is None:
        return "this suite"
    return f"[{paper.authors}, {paper.venue}](https://arxiv.org/abs/{paper.arxiv})"


def _memory_table() -> str:
    head = ("model", "training", *(f"{count} GPU{'s' if count > 1 else ''}" for count in GPUS))
    rows = [
        (name, training, *(_step(shape, dataclasses.replace(plan, gpus=count)) for count in GPUS))
        for (name, shape), (training, plan) in itertools.product(SIZES.items(), PLANS.items())
    ]
    return _table(head, rows)


def _step(shape: ModelShape, plan: StepPlan) -> str:
    seconds = step_seconds(shape, plan, rate=RATES[plan.weight_bytes])
    return f"{step_bytes(shape, plan) / 2**30:.0f} GiB, {seconds / 60:.2g} min"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


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
    for path, fill in FILLED.items():
        write_text(path, fill(path.read_text(encoding="utf-8")))


# Lists by the name of their place, and the files that have places.
LISTS: dict[str, Callable[[], str]] = {
    "task_keys": _task_keys, "task_table": _task_table, "papers": _papers, "method_table": _method_table,
    "memory_table": _memory_table,
}  # fmt: skip
NAMES = Path("trainers", "__init__.py")
FILLED: dict[Path, Callable[[str], str]] = {
    Path("README.md"): fill_lists,
    Path("cards", "docs", "language_models.md"): fill_lists,
    Path("cards", "docs", "methods.md"): fill_lists,
    Path("cards", "docs", "tasks.md"): fill_lists,
    NAMES: fill_names,
}


if __name__ == "__main__":
    sys.exit(run_command(write_lists))
