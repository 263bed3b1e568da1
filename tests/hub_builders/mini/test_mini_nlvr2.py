import io
import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from mubench.hub_builders.mini import nlvr2 as recipe
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.rows import Row
from tests.fixtures.mini_rules import check

STATEMENT = re.compile(
    r"the left (?:jar|bowl) of ([A-Z]\w+) ([A-Z]\w+) holds more (?:balls|beads) than the right (?:jar|bowl)"
)


@pytest.fixture(scope="module")
def rows(mini_rows):
    return mini_rows("nlvr2")


def pixels(row, side):
    with Image.open(io.BytesIO(row[f"image_{side}"]["bytes"])) as picture:
        assert (picture.size, picture.mode, picture.format) == ((32, 32), "RGB", "PNG")
        return np.asarray(picture)


def seen(row):
    """Return how many pixels of each picture show a ball."""
    return [sum(int((pixels(row, side) == one).all(-1).sum()) for one in recipe.COLOURS) for side in (0, 1)]


def test_visible_balls_agree_with_the_label(rows):
    for split, part in rows.items():
        counts = [seen(row) for row in part]
        assert all((left > right) == row["label"] for (left, right), row in zip(counts, part, strict=True) if left)
        assert all(bool(left) == bool(right) and (left != right or not left) for left, right in counts)
        assert np.mean([left > 0 for left, _ in counts]) == pytest.approx(recipe.VISIBLE / 16, abs=0.02), split


def test_a_set_is_four_pairs_of_one_colour(rows):
    for part in rows.values():
        assert set(Counter(row["group"] for row in part).values()) == {4}
    assert len({row["group"] for part in rows.values() for row in part}) == 2_200 // 4
    colours = Counter(
        (row["group"], colour)
        for row in rows["train"]
        for colour in recipe.COLOURS
        if (pixels(row, 0) == colour).all(-1).any()
    )
    assert len({group for group, _ in colours}) == len(colours) > 200


def test_every_owner_is_named_once(rows):
    names = [name for part in rows.values() for row in part for name in STATEMENT.fullmatch(row["text"]).group(1, 2)]
    assert len(names) == 2 * 2_200 and max(Counter(names).values()) == 1


@pytest.mark.parametrize("split", ["train", "test", "ood"])
def test_rows_differ_only_in_names_balls_and_colour(rows, split):
    shown = {(row["image_0"]["bytes"], row["image_1"]["bytes"]) for row in rows[split]}
    assert len(shown) == 2 * len(recipe.COLOURS) + len(recipe.CLOTHS)
    assert len({re.sub(r"[A-Z]\w+", "_", row["text"]) for row in rows[split]}) == 1


def decides(rows: list[Row], seed: int):
    """Train a small model on pixels and words; unknown words are silent, all names at first and half of the time."""
    import torch  # noqa: PLC0415

    from tests.fixtures.mini_models import class_outputs  # noqa: PLC0415  loads datasets

    torch.manual_seed(seed)
    words = {word: place for place, word in enumerate({w: 0 for row in rows for w in row["text"].split()}, 1)}

    def encoded(part: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
        numbers = [[words.get(word, 0) for word in row["text"].split()] for row in part]
        shown = np.array([[pixels(row, side)[::2, ::2] for side in (0, 1)] for row in part])
        return torch.tensor(numbers), torch.tensor(shown).flatten(1) / 255

    bag = torch.nn.EmbeddingBag(len(words) + 1, 64, mode="sum", padding_idx=0)
    often = Counter(word for row in rows for word in row["text"].split())
    rare = torch.tensor([place for word, place in words.items() if often[word] == 1])
    with torch.no_grad():
        bag.weight[0] = 0
        bag.weight[rare] = 0
    look = torch.nn.Linear(1_536, 64)
    head = torch.nn.Sequential(torch.nn.Linear(128, 128), torch.nn.ReLU(), torch.nn.Linear(128, 2))

    def logits(numbers: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
        return head(torch.cat([bag(numbers), look(shown)], 1).relu())

    optimizer = torch.optim.Adam([*bag.parameters(), *look.parameters(), *head.parameters()], lr=0.003)
    (numbers, shown), labels = encoded(rows), torch.tensor([row["label"] for row in rows])
    slower = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, 40)
    for _ in range(40):
        for batch in torch.randperm(len(rows)).split(64):
            optimizer.zero_grad()
            silent = torch.isin(numbers[batch], rare) & (torch.rand(len(batch), 1) < 0.5)
            heard = numbers[batch].masked_fill(silent, 0)
            torch.nn.functional.cross_entropy(logits(heard, shown[batch]), labels[batch]).backward()
            optimizer.step()
        slower.step()

    def answer(part: list[Row]):
        with torch.no_grad():
            return class_outputs(logits(*encoded(part)).double().numpy(), np.array([row["label"] for row in part]))

    return answer


@pytest.mark.nightly
@pytest.mark.parametrize("family", ["canonical", "group"])
def test_the_mini_task_follows_the_rules(rows, family):
    from tests.fixtures.mini_models import train_models  # noqa: PLC0415  loads datasets

    print(check(*train_models(TASKS["nlvr2"], rows, decides, family=family)))  # noqa: T201  (to be quoted)
