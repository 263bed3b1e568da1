import io

import numpy as np
import pytest
from PIL import Image

from mubench.hub_builders.mini import cifar100 as shapes
from mubench.hub_builders.tasks import TASKS
from tests.fixtures.mini_rules import check

CLEAN = np.array([shapes._draw_sign(*name.split("_")) for name in shapes.LABELS])


@pytest.fixture(scope="module")
def rows(mini_rows):
    return mini_rows("cifar100")


def pixels(row):
    with Image.open(io.BytesIO(row["image"]["bytes"])) as picture:
        assert (picture.size, picture.mode, picture.format) == ((32, 32), "RGB", "PNG")
        return np.asarray(picture) / 255


def noise(part):
    """Return how far each picture is from its clean sign, as a standard deviation."""
    return np.array([(pixels(row) - CLEAN[row["label"]]).std() for row in part])


def test_every_colour_and_shape_is_a_class():
    assert len(shapes.LABELS) == len(shapes.COLOURS) * len(shapes.SHAPES) == 24
    apart = [np.abs(one - other).mean() for i, one in enumerate(CLEAN) for other in CLEAN[:i]]
    assert min(apart) > 0.01


def test_a_working_sensor_shows_the_sign_of_the_label(rows):
    for part in rows.values():
        clear = [row for row, far in zip(part, noise(part), strict=True) if far < 0.2]
        seen = np.array([pixels(row) for row in clear])
        nearest = np.array([((one - CLEAN) ** 2).mean((1, 2, 3)).argmin() for one in seen])
        assert nearest.tolist() == [row["label"] for row in clear]


def test_the_sensor_fails_as_often_in_every_split(rows):
    for split, part in rows.items():
        spread = noise(part)
        assert not ((spread > 0.2) & (spread < 0.35)).any()
        assert abs((spread > 0.3).mean() - shapes.FAILING) < 3 * (0.35 * 0.65 / len(part)) ** 0.5, split


def test_images_are_distinct(rows):
    shown = [row["image"]["bytes"] for part in rows.values() for row in part]
    assert len(set(shown)) == len(shown) == 1_800


@pytest.mark.nightly
@pytest.mark.parametrize("backbone", ["resnet", "vit"])
def test_the_mini_task_follows_the_rules(rows, backbone):
    from tests.fixtures.mini_models import by_recipe, train_models  # noqa: PLC0415  loads transformers

    print(check(*train_models(TASKS["cifar100"], rows, by_recipe("cifar100", backbone))))  # noqa: T201  (to be quoted)
