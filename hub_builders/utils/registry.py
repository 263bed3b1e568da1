"""`Registry`, a table of classes, each imported from its own file when it is read, and what their sources declare.

Class attributes and dataclass fields are read from source files, so that a list of classes imports none of them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, make_dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import takewhile
from typing import Any, Generic, TypeVar

OURS = __name__.partition(".")[0]
Row = TypeVar("Row")


class Registry(Mapping[str, Row], Generic[Row]):
    """Maps a key to what the file of that name defines; listing keys imports nothing.

    Args:
        names: Name of the object by key: ``{"scrub": "ScrubTrainer"}`` is ``ScrubTrainer`` in ``scrub.py``.
        package: Where the files are, such as ``"mubench.trainers.methods"``.
    """

    def __init__(self, names: Mapping[str, str], *, package: str) -> None:
        self.names, self.package = names, package

    def __getitem__(self, key: str) -> Row:
        name = self.names[key]
        row: Any = getattr(import_module(f"{self.package}.{key}"), name)
        return row

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, key: object) -> bool:
        return key in self.names


@dataclass(frozen=True)
class Import:
    """A name that a module imports: ``name`` of ``module``, or the module itself without one."""

    module: str
    name: str = ""

    @property
    def is_light(self) -> bool:
        """Whether importing it loads nothing beyond the standard library."""
        top = self.module.partition(".")[0]
        if top != OURS:
            return top in sys.stdlib_module_names
        return all(one.is_light for one in read_module(self.module).names.values() if isinstance(one, Import))


class Module:
    """The top-level definitions of a module, given by its full name, evaluated one by one when they are read."""

    def __init__(self, name: str) -> None:
        spec = find_spec(name)
        loader: Any = spec.loader if spec else None
        if loader is None:
            raise ModuleNotFoundError(f"expected a module called {name}, got none")
        self.name = name
        self.names: dict[str, Import | ast.expr | ast.ClassDef] = {}
        for node in ast.parse(loader.get_source(name)).body:
            self._add(node)

    def _add(self, node: ast.stmt) -> None:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            for alias in node.names:
                self.names[alias.asname or alias.name] = Import(str(node.module), alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                self.names[alias.asname or alias.name] = Import(alias.name)
        elif isinstance(node, ast.ClassDef):
            self.names[node.name] = node
        elif (assigned := _assigned(node)) is not None:
            self.names[assigned[0]] = assigned[1]

    def __getitem__(self, name: str) -> Any:
        """Return the value of a top-level name; a class that cannot be imported cheaply is a `StaticClass`."""
        node = self.names[name]
        if isinstance(node, ast.ClassDef):
            return StaticClass(self, node)
        if not isinstance(node, Import):
            return self.evaluate(node)
        if node.module.partition(".")[0] == OURS and not node.is_light:
            return read_module(node.module)[node.name]
        return getattr(import_module(node.module), node.name) if node.name else import_module(node.module)

    def evaluate(self, node: ast.expr) -> Any:
        """Return the value of an expression in which names are those of this module."""
        return eval(compile(ast.Expression(node), self.name, "eval"), {}, self)  # type: ignore[arg-type]


class StaticClass:
    """A class as the source of its module declares it."""

    def __init__(self, module: Module, node: ast.ClassDef) -> None:
        self.module, self.node = module, node

    @property
    def doc(self) -> str:
        """Its docstring, or an empty text."""
        return ast.get_docstring(self.node) or ""

    def parents(self) -> Iterator[StaticClass]:
        """Yield the class itself and those of ours that it inherits from, depth first."""
        yield self
        for base in self.node.bases:
            if not isinstance(base, ast.Name):
                continue
            found = self.module.names.get(base.id)
            if isinstance(found, Import) and found.module.partition(".")[0] != OURS:
                continue
            if isinstance(parent := self.module[base.id], StaticClass):
                yield from parent.parents()

    @property
    def __dataclass_fields__(self) -> dict[str, None]:
        """Names of the fields of a dataclass, without those of its parents."""
        nodes = [node for node in self.node.body if isinstance(node, ast.AnnAssign)]
        return {node.target.id: None for node in nodes if isinstance(node.target, ast.Name)}

    def attribute(self, name: str) -> Any:
        """Return a class attribute, inherited ones included.

        Raises:
            AttributeError: If no class of ours assigns it.
        """
        for one in self.parents():
            for node in one.node.body:
                if (assigned := _assigned(node)) is not None and assigned[0] == name:
                    return one.module.evaluate(assigned[1])
        raise AttributeError(f"expected {self.node.name} to declare {name}, got no value")

    def defines(self, method: str, *, below: str) -> bool:
        """Whether the class or a parent that comes before the class called ``below`` defines a method."""
        for one in self.parents():
            if one.node.name == below:
                return False
            if any(isinstance(node, ast.FunctionDef) and node.name == method for node in one.node.body):
                return True
        return False

    def fields(self, *, below: str) -> dict[str, tuple[Any, Any]]:
        """Return types and values of the fields of a dataclass and of its parents up to the one called ``below``.

        A value is a default or a `dataclasses.Field`; those of parents come first.
        """
        found: dict[str, tuple[Any, Any]] = {}
        for one in reversed([*takewhile(lambda parent: parent.node.name != below, self.parents())]):
            for node in one.node.body:
                if isinstance(node, ast.AnnAssign) and (assigned := _assigned(node)) is not None:
                    found[assigned[0]] = (one.module.evaluate(node.annotation), one.module.evaluate(assigned[1]))
        return found

    def dataclass(self, base: type) -> type:
        """Return the dataclass that this one is, but for its methods, made from a parent that is imported."""
        fields = [(name, *declared) for name, declared in self.fields(below=base.__name__).items()]
        return make_dataclass(self.node.name, fields, bases=(base,))


def _assigned(node: ast.stmt) -> tuple[str, ast.expr] | None:
    """Return name and value of ``name = value`` or ``name: type = value``."""
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    return (target.id, value) if isinstance(target, ast.Name) and value is not None else None


@cache
def read_module(name: str) -> Module:
    """Return a module's definitions without importing it."""
    return Module(name)
