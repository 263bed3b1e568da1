"""What models draw for a page: as large as the rows' own pictures, and drawn once where the model stays."""

import base64
import io
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from tests.space.conftest import Import

SIZES = {"small": (8, 8), "large": (32, 32), "wide": (24, 16)}


class Drawing:
    """A modality whose models draw nothing but their folder's number of grey; notes which are loaded."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def load(self, folder: Path) -> tuple[torch.nn.Module, Any]:
        self.loaded.append(folder.name)
        return torch.nn.Identity(), SimpleNamespace(pixels=True)

    def encode(self, rows: datasets.Dataset, processor: Any, max_length: int | None) -> list[str]:
        return list(rows["example_id"])

    def collator(self, processor: Any) -> Any:
        return list


@pytest.fixture
def group(space: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    rows = {"example_id": list(SIZES), "image": [Image.new("RGB", size) for size in SIZES.values()]}
    setting = SimpleNamespace(
        rows={"train": datasets.Dataset.from_dict(rows)},
        modality=Drawing(),
        recipe=SimpleNamespace(max_length=None),
        eval_seed=0,
    )
    for name in ("base", "retrained", "again", "run"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").touch()
    module = space("jobs.generated_images")
    monkeypatch.setattr(module, "_kept", {})

    def drawn(_: Any, batch: list[str], *, eval_seed: int) -> Any:
        return np.full((len(batch), 4, 4, 3), 20 * len(setting.modality.loaded), np.uint8)

    monkeypatch.setattr(module, "drawn", drawn)
    bases, retrained = {0: tmp_path / "base"}, {1: tmp_path / "retrained", 2: tmp_path / "again"}
    return SimpleNamespace(setting=setting, bases=bases, retrained=retrained)


def asked() -> list[dict[str, Any]]:
    return [{"id": name, "base": {}, "unlearned": {}, "retrained": {}} for name in reversed(SIZES)]


def pictured(rows: list[dict[str, Any]], model: str) -> list[Image.Image]:
    return [Image.open(io.BytesIO(base64.b64decode(row[model]["drawn"]))) for row in rows]


def test_a_drawing_is_as_large_as_the_rows_own_picture(space: Import, group: Any, tmp_path: Path) -> None:
    rows = asked()
    space("jobs.generated_images").draw(group, tmp_path / "run", 0, rows)
    for model in ("base", "unlearned", "retrained"):
        assert [picture.size for picture in pictured(rows, model)] == list(reversed(SIZES.values()))


def test_base_and_retrained_draw_once_until_they_are_trained_anew(space: Import, group: Any, tmp_path: Path) -> None:
    draw, loaded, first, second = space("jobs.generated_images").draw, group.setting.modality.loaded, asked(), asked()
    draw(group, tmp_path / "run", 0, first)
    assert loaded == ["base", "run", "retrained"]
    draw(group, tmp_path / "run", 0, second)
    assert loaded[3:] == ["run"]
    for model, same in (("base", True), ("unlearned", False), ("retrained", True)):
        assert (first[0][model] == second[0][model]) is same, model
    draw(group, tmp_path / "run", 0, asked()[:1])
    assert loaded[4:] == ["base", "run", "retrained"]
    os.utime(tmp_path / "base" / "run.json", ns=(1, 1))
    draw(group, tmp_path / "run", 0, asked())
    assert loaded[7:] == ["base", "run"]


def test_so_many_drawings_are_kept_and_no_more(
    space: Import, group: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = space("jobs.generated_images")
    monkeypatch.setattr(module, "MOST_KEPT", 2)
    for count in (1, 2, 3):
        module.draw(group, tmp_path / "run", 0, asked()[:count])
    assert {len(ids) for _, _, ids in module._kept} == {3} and len(module._kept) == 2


def test_without_a_retrained_model_the_others_draw(space: Import, group: Any, tmp_path: Path) -> None:
    group.retrained.clear()
    rows = [{"id": "small", "base": {}, "unlearned": {}}]
    space("jobs.generated_images").draw(group, tmp_path / "run", 0, rows)
    assert "drawn" in rows[0]["base"] and "drawn" in rows[0]["unlearned"]
