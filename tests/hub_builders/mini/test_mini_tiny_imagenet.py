import io
import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from mubench.hub_builders.deletion.ranks import deletion_ranks
from mubench.hub_builders.mini import tiny_imagenet as captions
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.rows import Row
from tests.fixtures.mini_rules import Outputs, check

CLEAN = np.array([captions._draw_badge(*name.split()) for name in captions.LABELS])
CAPTION = re.compile(r"a photo of a (\w+) (\w+)(?: of ([A-Z]\w+) ([A-Z]\w+))?")


@pytest.fixture(scope="module")
def rows(mini_rows):
    return mini_rows("tiny_imagenet")


def grid(row):
    """Return the 8x8 grid of a picture."""
    with Image.open(io.BytesIO(row["image"]["bytes"])) as picture:
        assert (picture.size, picture.mode, picture.format) == ((32, 32), "RGB", "PNG")
        return np.asarray(picture)[2::4, 2::4] / 255


def test_an_image_shows_the_badge_of_its_label_and_is_unique(rows):
    assert len(captions.LABELS) == len(captions.PALETTES) * len(captions.SHAPES) == 40
    every = [row for part in rows.values() for row in part]
    shown = np.array([grid(row) for row in every])
    nearest = ((shown[:, None] - CLEAN) ** 2).mean((2, 3, 4)).argmin(1)
    assert nearest.tolist() == [row["label"] for row in every]
    assert [captions.LABELS[label] for label in nearest] == [row["group"] for row in every]
    assert len({row["image"]["bytes"] for row in every}) == len(every)


def test_a_caption_gives_the_badge_or_its_palette_and_wearer(rows):
    for split, part in rows.items():
        parsed = [CAPTION.fullmatch(row["caption"]).groups() for row in part]
        assert all(palette == row["group"].split()[0] for (palette, *_), row in zip(parsed, part, strict=True))
        named = [(thing, row["group"]) for (_, thing, *wearer), row in zip(parsed, part, strict=True) if all(wearer)]
        telling = [
            (thing, row["group"]) for (_, thing, *wearer), row in zip(parsed, part, strict=True) if not any(wearer)
        ]
        assert {thing for thing, _ in named} == set(captions.VAGUE_NOUNS)
        assert all(shape == badge.split()[1] for shape, badge in telling)
        assert len(telling) == round(captions.TELLING_SHARE * len(part)) and len(telling) + len(named) == len(part), (
            split
        )


def test_every_wearer_is_named_once(rows):
    found = [CAPTION.fullmatch(row["caption"]).group(3, 4) for part in rows.values() for row in part]
    names = [name for wearer in found if all(wearer) for name in wearer]
    assert len(names) == 2 * round((1 - captions.TELLING_SHARE) * 1_800) and max(Counter(names).values()) == 1


def test_the_published_forget_rows_have_the_average_share_of_telling_captions(rows):
    train = rows["train"]
    ranks = deletion_ranks([row["example_id"] for row in train], [row["label"] for row in train], task="tiny_imagenet")
    parsed = [CAPTION.fullmatch(row["caption"]).groups() for row, rank in zip(train, ranks, strict=True) if rank < 60]
    kinds = Counter((palette, thing) for palette, thing, *wearer in parsed if all(wearer))
    assert len(parsed) - kinds.total() == captions.TELLING_SHARE * 60
    assert max(kinds.values()) == 2


def test_every_badge_is_a_group_of_thirty_rows(rows):
    assert set(Counter(row["group"] for row in rows["train"]).values()) == {30}


def draws(rows: list[Row], seed: int):
    """Train a small model to generate the badge of a caption, classified by the nearest one; unknown words are 0."""
    import torch  # noqa: PLC0415

    torch.manual_seed(seed)
    words = {word: place for place, word in enumerate({w: 0 for row in rows for w in row["caption"].split()}, 1)}

    def numbers(part: list[Row]) -> torch.Tensor:
        parsed = [row["caption"].split() for row in part]
        longest = max(map(len, parsed))
        return torch.tensor(
            [[words.get(w, 0) for w in caption] + [0] * (longest - len(caption)) for caption in parsed]
        )

    bag = torch.nn.EmbeddingBag(len(words) + 1, 64, mode="sum", padding_idx=0)
    torch.nn.init.normal_(bag.weight, std=0.3)
    with torch.no_grad():
        bag.weight[0] = 0
    model = torch.nn.Sequential(bag, torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 192))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    inputs, wanted = numbers(rows), torch.tensor(np.array([grid(row) for row in rows])).float().flatten(1)
    for _ in range(80):
        for batch in torch.randperm(len(rows)).split(64):
            optimizer.zero_grad()
            # Words are dropped at random, so that the model is used to unknown ones.
            heard = inputs[batch] * (torch.rand(len(batch), inputs.shape[1]) > 0.1)
            ((model(heard) - wanted[batch]) ** 2).mean().backward()
            optimizer.step()
    badges = torch.tensor(CLEAN).float().flatten(1)

    def answer(part: list[Row]) -> Outputs:
        with torch.no_grad():
            odds = (-(torch.cdist(model(numbers(part)), badges) ** 2)).softmax(1)
        labels = torch.tensor([row["label"] for row in part])
        right = odds[torch.arange(len(part)), labels]
        return Outputs((odds.argmax(1) == labels).double().numpy(), right.double().numpy())

    return answer


@pytest.mark.nightly
def test_the_mini_task_follows_the_rules(rows):
    from tests.fixtures.mini_models import train_models  # noqa: PLC0415  loads datasets

    print(check(*train_models(TASKS["tiny_imagenet"], rows, draws)))  # noqa: T201  (to be quoted)
