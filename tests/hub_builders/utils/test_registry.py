"""Classes read from their source: values as Python would compute them, and nothing imported."""

import dataclasses
import sys

import pytest

from mubench.hub_builders.utils.registry import Registry, StaticClass, read_module

FIRST = """
import math
import torch
from dataclasses import dataclass, field

KINDS = ("image", "text")

@dataclass
class Root:
    shared: int = 1

class Base(torch.nn.Module):
    limit = math.inf
    kinds: tuple = KINDS
    def edit(self): ...
"""
SECOND = """
from mubench.first_of_two import KINDS, Base, Root
from mubench.first_of_two import Base as Other

class Arguments(Root):
    rate: float = 0.5
    none: int

class Child(Other):
    'A child.'
    kinds = (*KINDS, "audio")
    arguments = Arguments
"""


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Return a class of two modules that lie in our package and are never imported."""
    import mubench  # noqa: PLC0415

    for name, source in (("first_of_two", FIRST), ("second_of_two", SECOND)):
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.setattr(mubench, "__path__", [*mubench.__path__, str(tmp_path)])
    read_module.cache_clear()
    yield read_module("mubench.second_of_two")["Child"]
    read_module.cache_clear()


def test_attributes_are_evaluated_where_they_are_assigned(child):
    assert isinstance(child, StaticClass) and child.doc == "A child."
    assert child.attribute("kinds") == ("image", "text", "audio")
    assert child.attribute("limit") == float("inf")
    with pytest.raises(AttributeError, match="expected Child to declare nothing, got no value"):
        child.attribute("nothing")
    assert not {"mubench.first_of_two", "mubench.second_of_two"} & sys.modules.keys()


def test_fields_and_methods_are_those_below_a_class(child):
    arguments = child.attribute("arguments")
    assert arguments.fields(below="Root") == {"rate": (float, 0.5)}
    assert arguments.fields(below="") == {"shared": (int, 1), "rate": (float, 0.5)}
    root = dataclasses.make_dataclass("Root", [("shared", int, 1)])
    assert dataclasses.asdict(arguments.dataclass(root)(rate=2.0)) == {"shared": 1, "rate": 2.0}
    assert tuple(arguments.__dataclass_fields__) == ("rate", "none")
    assert child.defines("edit", below="") and not child.defines("edit", below="Base")


def test_a_registry_imports_a_row_when_it_is_read():
    registry: Registry[type] = Registry(
        {"registry": "Registry", "missing": "Nothing"}, package="mubench.hub_builders.utils"
    )
    assert list(registry) == ["registry", "missing"] and len(registry) == 2
    assert "missing" in registry and "other" not in registry and registry.get("other") is None
    assert registry["registry"] is Registry
    with pytest.raises(KeyError):
        registry["other"]
    with pytest.raises(ModuleNotFoundError):
        registry["missing"]
