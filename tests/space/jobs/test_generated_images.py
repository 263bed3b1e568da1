"""Generated images: their sizes, and the cache of those of reference models."""

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


class Gray:
    """A modality that records which models are loaded; their images are uniformly gray."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def load_checked(self, folder: Path, again: str) -> tuple[torch.nn.Module, Any]:
        assert again == f"remove {folder} and start its command again"
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
        modality=Gray(),
        recipe=SimpleNamespace(max_length=None),
        eval_seed=0,
    )
    setting.load = setting.modality.load_checked
    for name in ("base", "retrained", "again", "run"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").touch()
    module = space("jobs.generated_images")
    monkeypatch.setattr(module, "_cache", {})

    def generate(_: Any, batch: list[str], *, eval_seed: int) -> Any:
        return np.full((len(batch), 4, 4, 3), 20 * len(setting.modality.loaded), np.uint8)

    monkeypatch.setattr(module, "generate_images", generate)
    bases, retrained = {0: tmp_path / "base"}, {1: tmp_path / "retrained", 2: tmp_path / "again"}
    return SimpleNamespace(setting=setting, bases=bases, retrained=retrained)


def new_rows() -> list[dict[str, Any]]:
    return [{"id": name, "base": {}, "unlearned": {}, "retrained": {}} for name in reversed(SIZES)]


def decoded(rows: list[dict[str, Any]], model: str) -> list[Image.Image]:
    return [Image.open(io.BytesIO(base64.b64decode(row[model]["generated_image"]))) for row in rows]


def test_an_image_has_the_size_of_the_rows_own(space: Import, group: Any, tmp_path: Path) -> None:
    rows = new_rows()
    space("jobs.generated_images").add_generated_images(group, tmp_path / "run", 0, rows)
    for model in ("base", "unlearned", "retrained"):
        assert [image.size for image in decoded(rows, model)] == list(reversed(SIZES.values()))


def test_reference_images_are_cached_until_the_model_is_trained_again(
    space: Import, group: Any, tmp_path: Path
) -> None:
    draw, loaded = space("jobs.generated_images").add_generated_images, group.setting.modality.loaded
    first, second = new_rows(), new_rows()
    draw(group, tmp_path / "run", 0, first)
    assert loaded == ["base", "run", "retrained"]
    draw(group, tmp_path / "run", 0, second)
    assert loaded[3:] == ["run"]
    for model, same in (("base", True), ("unlearned", False), ("retrained", True)):
        assert (first[0][model] == second[0][model]) is same, model
    draw(group, tmp_path / "run", 0, new_rows()[:1])
    assert loaded[4:] == ["base", "run", "retrained"]
    os.utime(tmp_path / "base" / "run.json", ns=(1, 1))
    draw(group, tmp_path / "run", 0, new_rows())
    assert loaded[7:] == ["base", "run"]


def test_the_cache_of_images_is_bounded(
    space: Import, group: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = space("jobs.generated_images")
    monkeypatch.setattr(module, "MAX_CACHED", 2)
    for count in (1, 2, 3):
        module.add_generated_images(group, tmp_path / "run", 0, new_rows()[:count])
    assert {len(ids) for _, _, ids in module._cache} == {3} and len(module._cache) == 2


def test_without_a_retrained_model_there_are_two_images(space: Import, group: Any, tmp_path: Path) -> None:
    group.retrained.clear()
    rows = [{"id": "small", "base": {}, "unlearned": {}}]
    space("jobs.generated_images").add_generated_images(group, tmp_path / "run", 0, rows)
    assert "generated_image" in rows[0]["base"] and "generated_image" in rows[0]["unlearned"]
