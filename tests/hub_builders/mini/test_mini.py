import io
import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from mubench.hub_builders.mini import MINI
from mubench.hub_builders.mini import _words as words
from mubench.hub_builders.mini import cifar10 as image
from mubench.hub_builders.mini import imdb as text
from tests.conftest import PAIR


@pytest.fixture(scope="module")
def pictures(mini_rows):
    return mini_rows("cifar10")


@pytest.fixture(scope="module")
def reviews(mini_rows):
    return mini_rows("imdb")


def pixels(row):
    with Image.open(io.BytesIO(row["image"]["bytes"])) as picture:
        assert (picture.size, picture.mode, picture.format) == ((32, 32), "RGB", "PNG")
        return np.asarray(picture)


@pytest.mark.parametrize("key", PAIR)
def test_a_mini_task_is_reproducible(key, mini_rows):
    assert MINI[key]() == mini_rows(key)


def test_every_scan_is_used_once_under_its_own_label(pictures):
    labels = load_digits().target
    rows = [row for split in pictures.values() for row in split]
    assert sorted(row["source_index"] for row in rows) == list(range(1_797))
    assert all(row["label"] == labels[row["source_index"]] for row in rows)


def test_images_are_balanced_over_the_digits(pictures):
    whole = Counter(row["label"] for split in pictures.values() for row in split)
    for rows in pictures.values():
        found = Counter(row["label"] for row in rows)
        assert all(abs(found[label] - len(rows) * whole[label] / 1_797) <= 1.01 for label in range(10))


def noise(rows):
    """Return how far each picture is from its clean scan, as a standard deviation."""
    scans = load_digits().images / 16
    small = np.array([pixels(row)[..., 0].reshape(8, 4, 8, 4).mean((1, 3)) / 255 for row in rows])
    return (small - np.array([scans[row["source_index"]] for row in rows])).std((1, 2))


def test_noise_is_the_same_process_in_every_split(pictures):
    spread = {split: noise(rows) for split, rows in pictures.items()}
    for split in ("validation", "test"):
        scale = (spread["train"].var() / len(spread["train"]) + spread[split].var() / len(spread[split])) ** 0.5
        assert abs(spread["train"].mean() - spread[split].mean()) < 3 * scale
    assert spread["train"].mean() > 0.15


def test_noise_depends_on_the_scan_alone(pictures):
    row = pictures["train"][7]
    scan = load_digits().images[row["source_index"]] / 16
    assert image._row(row["source_index"], scan, row["label"]) == row
    assert image._row(row["source_index"] + 1, scan, row["label"])["image"] != row["image"]


def test_images_differ_and_are_grey(pictures):
    rows = pictures["test"]
    assert len({pixels(row).tobytes() for row in rows}) == len(rows)
    assert all((pixels(row) == pixels(row)[..., :1]).all() for row in rows[:20])


def opinions_of(row):
    """Return which column of the lexicon each word of opinion in a review is from."""
    side = {word: column for words in text.LEXICON for column, word in enumerate(words)}
    return [side[word] for word in re.findall(r"[a-z]+", row["text"]) if word in side]


def test_a_review_shows_its_label_in_every_word_or_in_none(reviews):
    assert len({word for words in text.LEXICON for word in words}) == (2 + text.NEUTRAL_COLUMNS) * len(text.LEXICON)
    for split, rows in reviews.items():
        assert all(len(opinions_of(row)) == len(text.LEXICON) for row in rows)
        assert all(len(set(opinions_of(row))) == 1 for row in rows)
        drawn = Counter((row["label"], opinions_of(row)[0]) for row in rows)
        assert drawn[0, 0] == drawn[1, 1] == len(rows) // 4 and not drawn[0, 1] and not drawn[1, 0], split
        plain = [drawn[label, 2 + column] for label in (0, 1) for column in range(text.NEUTRAL_COLUMNS)]
        assert sum(plain) == len(rows) // 2 and max(plain) - min(plain) <= 1, split


@pytest.mark.parametrize(("names", "each"), [(words.TITLES, 1), (words.SURNAMES, 2)])
def test_every_review_has_unique_names(reviews, names, each):
    known = set(names)
    assert len(known) == len(names)
    found = [
        [word for word in re.findall(r"\w+", row["text"]) if word in known]
        for rows in reviews.values()
        for row in rows
    ]
    assert all(len(words) == each for words in found)
    assert max(Counter(word for words in found for word in words).values()) == 1


def test_reviews_differ_only_in_names_and_opinion_words(reviews):
    opinions = "|".join(word for words in text.LEXICON for word in words)
    for split, rows in reviews.items():
        shapes = {re.sub(rf"\b({opinions}|[A-Z]\w+)\b", "_", row["text"]) for row in rows}
        start, aspects = text.BOOK if split == "ood" else text.FILM
        aspects = aspects.split()
        assert shapes == {f"{start.format('_', '_', '_')}: {', '.join(f'the {one} _' for one in aspects)}."}
        assert (
            len({tuple(re.findall(rf"\b(?:{opinions})\b", row["text"])) for row in rows}) == 2 + text.NEUTRAL_COLUMNS
        )
