"""The classifier of generated images: a base model that is trained once and shared by all models."""

import functools

import numpy as np
import pytest
from PIL import Image

from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.hub.model_folder import read_run
from mubench.hub_builders.mini import MINI
from mubench.hub_builders.tasks import TASKS
from mubench.trainers.models.base_models import train_image_classifier
from mubench.trainers.models.setting import load_setting

pytestmark = pytest.mark.slow
COUNTS = {"train": 240, "validation": 20, "test": 40}
rows_of = functools.cache(MINI["tiny_imagenet"])


@pytest.fixture
def setting(tmp_path, monkeypatch):
    few = {split: [dict(row) for row in rows[: COUNTS[split]]] for split, rows in rows_of().items()}
    monkeypatch.setitem(MINI, "tiny_imagenet", lambda: few)
    monkeypatch.setitem(TASKS["tiny_imagenet"].counts, "mini", COUNTS)
    return load_setting("tiny_imagenet", "unet", data=str(build("tiny_imagenet", out=tmp_path)))


def test_it_is_a_base_model_of_its_own_that_is_kept(setting, tmp_path):
    models = tmp_path / "models"
    image_classifier = train_image_classifier(setting, models)
    folder = models / "tiny_imagenet-mini-resnet"
    run = read_run(folder)
    assert (run.backbone, run.method, run.recipe["epochs"]) == ("resnet", None, 12)
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    pictures = [setting.rows["test"][i]["image"].convert("RGB") for i in range(COUNTS["test"])]
    logits = image_classifier(pictures)
    assert np.array_equal(logits, train_image_classifier(setting, models)(pictures))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == written
    assert (logits.argmax(1) == np.asarray(setting.rows["test"]["label"])).mean() > 0.9
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    with pytest.raises(
        ValueError, match=r"expected a whole model in .*config\.json as it was written .* trained again$"
    ):
        train_image_classifier(setting, models)
    grey = Image.new("RGB", pictures[0].size, (127, 127, 127))
    assert image_classifier([grey, pictures[0]]).shape == (2, 40)
