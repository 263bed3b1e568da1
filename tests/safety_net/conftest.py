"""What the safety net stands on: data that the door builds, and nothing that lies elsewhere in the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.safety_net import doors
from tests.safety_net.measures import FEW


@pytest.fixture(scope="session")
def few(shared: Any) -> Path:
    """Return a folder with the data sets of `FEW`."""

    def make(out: Path) -> None:
        for task, family in FEW:
            assert doors.call("hub_builders", "build", task, "--family", family, "--out", out).code == 0

    return shared("few", make)


@pytest.fixture(scope="session")
def everything(shared: Any) -> Path:
    """Return a folder with what ``make data`` builds."""

    def make(out: Path) -> None:
        for family in ("canonical", "group"):
            assert doors.call("hub_builders", "build", "--family", family, "--out", out).code == 0

    return shared("everything", make)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Work in an empty folder, and return it."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here
