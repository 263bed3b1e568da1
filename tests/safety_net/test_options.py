"""Names and defaults of every option of every command; what has come since is allowed, what has gone is not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.safety_net import doors, golden, measures, option_cases

GOLDEN, METHODS, THERE = golden.read("options"), golden.read("method_options"), golden.read("defaults")
FAST = ("cifar10 resnet", "tofu llama")


def check(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Check that every option that was there is there, with the same default, and takes the same words."""
    lost = [name for name in wanted if name not in found]
    assert not lost, f"options that are gone: {lost}"
    changed = {name: (wanted[name], found[name]) for name in wanted if found[name] != wanted[name]}
    assert not changed, f"options that are others: {changed}"


@pytest.mark.parametrize("name", GOLDEN)
def test_a_command_has_its_options(name: str) -> None:
    check(measures.options(name), GOLDEN[name])


@pytest.mark.parametrize("method", [name for name in METHODS if name])
def test_a_method_has_its_options(method: str) -> None:
    check(measures.options(f"trainers {method}"), {**METHODS[""], **METHODS[method]})


def test_no_method_is_gone() -> None:
    assert {*option_cases.methods()} >= {name for name in METHODS if name}


def test_no_backbone_is_gone() -> None:
    assert {f"{task} {backbone}" for task, backbone in doors.backbones()} >= THERE.keys()


@pytest.mark.parametrize(
    "place", [pytest.param(place, marks=() if place in FAST else pytest.mark.slow) for place in THERE]
)
def test_a_task_and_backbone_have_their_defaults(place: str) -> None:
    task, backbone = place.split()
    assert measures.there(task, backbone, list(THERE[place])) == THERE[place]


@pytest.mark.parametrize("room", doors.ROOMS)
def test_every_door_tells_its_commands(room: str) -> None:
    answer = doors.call(room, "--help")
    assert answer.code == 0 and answer.err == ""
    # `base` may lie behind either door.
    for name in [word for word in option_cases.COMMANDS[room] if word]:
        assert name in answer.out
