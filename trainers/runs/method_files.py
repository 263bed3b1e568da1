"""Custom methods: the trainers in a Python file, or in an installed module, that an option names.

Only `custom_methods` runs such code, for what the user's command line or grid names; a model folder or a result row
records the SHA-256 of the file, and no place that it could be loaded from.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mubench.hub_builders.dataset.user_code import describe_error, run_code
from mubench.hub_builders.utils.text import quote
from mubench.trainers.engine.paper import Paper
from mubench.trainers.evaluation.controls import CONTROLS
from mubench.trainers.methods import METHODS
from mubench.trainers.runs.method_table import CUSTOM, SHORT, CustomMethod

if TYPE_CHECKING:
    from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

_OBJECT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True)
class MethodFile:
    """A file of methods, as the command that uses it has found it.

    Attributes:
        source: Absolute path of the file, or ``package.module:Class``.
        sha256: SHA-256 of the file.
    """

    source: str
    sha256: str


def read_method_file(source: str) -> MethodFile:
    """Return a file of methods with its hash; a file is not executed.

    Args:
        source: Path of a Python file, or ``package.module:Class`` of an installed module.

    Raises:
        FileNotFoundError: If there is no such file or module.
        ValueError: If it is neither.
    """
    path = _path_of(source)
    named = source if _OBJECT.fullmatch(source) else str(path)
    return MethodFile(named, hashlib.sha256(_read(path)).hexdigest())


def _path_of(source: str) -> Path:
    if not _OBJECT.fullmatch(source):
        if not source.endswith(".py"):
            raise ValueError(f"expected method_file to be a Python file or package.module:Class, got {quote(source)}")
        return Path(source).absolute()
    module = source.partition(":")[0]
    try:
        spec = importlib.util.find_spec(module)  # imports the packages that it is in
    except Exception as error:
        raise FileNotFoundError(f"expected a module called {module}, got {describe_error(error)}") from error
    if spec is None or not spec.has_location or not str(spec.origin).endswith(".py"):
        raise FileNotFoundError(f"expected a module called {module} with a Python file, got none")
    return Path(str(spec.origin))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileNotFoundError(f"expected a file of methods at {path}, got: {error.strerror or error}") from error


@contextmanager
def custom_methods(file: MethodFile | None) -> Iterator[None]:
    """Add the methods of a file to the table within the block, and run its code; ``None`` adds none.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it has changed since its hash was taken, cannot be imported, or holds no method that can be run.
    """
    before = dict(CUSTOM)
    CUSTOM.update(_load(file) if file else {})
    try:
        yield
    finally:
        CUSTOM.clear()
        CUSTOM.update(before)


@lru_cache(maxsize=8)
def _load(file: MethodFile) -> dict[str, CustomMethod]:
    """Return the methods of a file by key; a process runs its code once."""
    path = _path_of(file.source)
    code = _read(path)
    if hashlib.sha256(code).hexdigest() != file.sha256:
        raise ValueError(f"expected {path} as it was when the command began, got another file; start it again")
    module, _, name = file.source.partition(":") if _OBJECT.fullmatch(file.source) else ("", "", "")
    found = [_read_class(module, name)] if name else _find_classes(_run_file(path, code), path)
    keys = [_key_of(trainer) for trainer in found] if name or len(found) > 1 else [path.stem.replace("-", "_")]
    for key, trainer in zip(keys, found, strict=True):
        _check_key(key, path)
        if keys.count(key) > 1:
            raise ValueError(f"expected classes with keys of their own in {path}, got {key!r} twice")
        _check_trainer(trainer)
    return {key: CustomMethod(trainer, file.sha256) for key, trainer in zip(keys, found, strict=True)}


def _run_file(path: Path, code: bytes) -> ModuleType:
    try:
        return run_code(path, code)
    except (Exception, SystemExit) as error:
        wanted = "Python" if isinstance(error, SyntaxError) else "a module that can be imported"
        raise ValueError(f"expected {wanted} in {path}, got {describe_error(error, path)}") from error


def _find_classes(module: ModuleType, path: Path) -> list[type[UnlearningTrainer]]:
    """Return the trainers that a module defines, without those whose names start with an underscore."""
    from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer  # noqa: PLC0415  (seconds)

    own = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    found = [one for one in own if issubclass(one, UnlearningTrainer) and not one.__name__.startswith("_")]
    if not found:
        got = f"the classes {', '.join(one.__name__ for one in own)}" if own else "no class"
        raise ValueError(f"expected a subclass of UnlearningTrainer in {path}, got {got}")
    return found


def _read_class(module: str, name: str) -> type[UnlearningTrainer]:
    from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer  # noqa: PLC0415  (seconds)

    try:
        found = getattr(importlib.import_module(module), name, None)
    except (Exception, SystemExit) as error:
        raise ValueError(f"expected a module that can be imported, {module}, got {describe_error(error)}") from error
    if not (isinstance(found, type) and issubclass(found, UnlearningTrainer)):
        got = "nothing of this name" if found is None else quote(repr(found))
        raise ValueError(f"expected {name} of {module} to be a subclass of UnlearningTrainer, got {got}")  # noqa: TRY004
    if found.__module__ != module:  # the hash is that of the file that defines it
        raise ValueError(f"expected the module that defines {name}, {found.__module__}, got {module}")
    return found


def _key_of(trainer: type) -> str:
    return _HUMP.sub("_", trainer.__name__.removesuffix("Trainer")).lower()


def _check_key(key: str, path: Path) -> None:
    if key in (*METHODS, *CONTROLS):
        raise ValueError(f"expected a name of its own for the method of {path}, got {key!r}, which the suite has")
    if not _KEY.fullmatch(key):
        raise ValueError(f"expected a method key of small letters, digits and _ for {path}, got {quote(key)}")


def _check_trainer(trainer: type[UnlearningTrainer]) -> None:
    """Check what a trainer declares, which the table and the parsers read.

    Raises:
        ValueError: If something of it is missing or of another kind.
    """
    from mubench.trainers.unlearning.forget_retain import SPLITS  # noqa: PLC0415  (seconds, as the next one)
    from mubench.trainers.unlearning.unlearning_trainer import UnlearningArguments  # noqa: PLC0415

    arguments: Any = trainer.arguments
    is_dataclass = isinstance(arguments, type) and "__dataclass_fields__" in vars(arguments)
    has_fields = is_dataclass and issubclass(arguments, UnlearningArguments)
    wanted: dict[str, tuple[str, bool]] = {
        "kinds": (f"a tuple of {', '.join(SHORT)}", _some_of(getattr(trainer, "kinds", None), SHORT)),
        "adapted_kinds": (f"a tuple of {', '.join(SHORT)}", _some_of((*SHORT, *trainer.adapted_kinds), SHORT)),
        "splits": (f"a tuple of {', '.join(SPLITS)}", _some_of(trainer.splits, SPLITS)),
        "arguments": ("a dataclass below UnlearningArguments", has_fields),
        "like": ("None or the key of a method of the suite", trainer.like is None or trainer.like in METHODS),
        "paper": ("a Paper", isinstance(getattr(trainer, "paper", None), Paper | None)),
        "from_scratch": ("False, since it starts from a base model", not trainer.from_scratch),
        "is_control": ("False, since it is ranked", not trainer.is_control),
    }  # fmt: skip
    for name, (what, holds) in wanted.items():
        if not holds:
            got = quote(repr(getattr(trainer, name))) if hasattr(trainer, name) else "nothing"
            raise ValueError(f"expected {trainer.__name__}.{name} to be {what}, got {got}")


def _some_of(values: Any, known: Any) -> bool:
    return isinstance(values, tuple) and bool(values) and all(one in known for one in values)
