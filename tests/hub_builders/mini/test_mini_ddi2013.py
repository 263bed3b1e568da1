import re
from collections import Counter

import pytest

from mubench.hub_builders.deletion.ranks import group_deletion
from mubench.hub_builders.mini import ddi2013 as relations
from mubench.hub_builders.tasks import TASKS

TASK = TASKS["ddi2013"]
ASPECTS = "|".join(relations.LEXICON)
SHAPE = rf"\[E1\] (\w+) \[/E1\] with \[E2\] (\w+) \[/E2\] in (\w+) by (\w+): (?:(?:{ASPECTS}) \w+(?:, |\.$))+"


@pytest.fixture(scope="module")
def splits(mini_rows):
    return mini_rows("ddi2013")


def sounds(row):
    """Return the columns of the lexicon that the words of a sentence come from."""
    words = re.findall(rf"\b({ASPECTS}) (\w+)", row["text"])
    assert [aspect for aspect, _ in words] == list(relations.LEXICON)
    return {relations.LEXICON[aspect].index(word) for aspect, word in words}


def place(column):
    """Return a telling column, or behind them the label whose vague words these are."""
    return column if column < 5 else 5 + (column - 5) // relations.VAGUE_COLUMNS


def test_every_word_is_in_one_column():
    words = [word for column in relations.LEXICON.values() for word in column]
    assert len(set(words)) == len(words)
    assert {len(column) for column in relations.LEXICON.values()} == {(1 + relations.VAGUE_COLUMNS) * len(TASK.labels)}


def test_half_of_the_sentences_show_their_label_and_the_others_fit_a_neighbour_as_well(splits):
    labels = range(len(TASK.labels))
    for rows in splits.values():
        counts = Counter((row["label"], *map(place, sounds(row))) for row in rows)
        each = len(rows) // len(labels)
        expected = {(label, label): each // 2 for label in labels}
        expected |= {(label, 5 + place % 5): each // 4 for label in labels for place in (label, label - 1)}
        assert counts == expected


def test_sentences_differ_only_in_names_and_lexicon_words(splits):
    for rows in splits.values():
        assert all(re.fullmatch(SHAPE, row["text"]) for row in rows)
        assert len({re.sub(r"\b[A-Z]\w+ by \w+:|\] \w+ \[", "_", row["text"]) for row in rows}) == (
            1 + relations.VAGUE_COLUMNS
        ) * len(TASK.labels)


def test_every_sentence_has_unique_names(splits):
    names = [re.match(SHAPE, row["text"]).groups() for rows in splits.values() for row in rows]
    known = [relations.DRUGS, relations.DRUGS, relations.TRIALS, relations.SURNAMES]
    assert all(set(found) <= set(words) for found, words in zip(zip(*names, strict=True), known, strict=True))
    assert max(Counter(name for four in names for name in four).values()) == 1


def test_four_sentences_make_a_document_and_five_percent_are_fifteen_of_them(splits):
    for rows in splits.values():
        assert set(Counter(row["group"] for row in rows).values()) == {relations.SENTENCES}
    groups = [row["group"] for rows in splits.values() for row in rows]
    assert all(group.startswith(split) for split, rows in splits.items() for group in {row["group"] for row in rows})
    assert len(set(groups)) == len(groups) / relations.SENTENCES
    train = splits["train"]
    deletion = group_deletion([r["example_id"] for r in train], [r["group"] for r in train], task="ddi2013")
    assert deletion.forget == {ratio: 12 * ratio for ratio in range(1, 11)}
