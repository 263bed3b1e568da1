import re
from collections import Counter

import pytest

from mubench.hub_builders.deletion import group_deletion
from mubench.hub_builders.mini import relations
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


def test_no_word_is_of_two_columns():
    words = [word for column in relations.LEXICON.values() for word in column]
    assert len(set(words)) == len(words)
    assert {len(column) for column in relations.LEXICON.values()} == {len(TASK.labels) + 1}


def test_five_in_eight_sentences_of_each_label_tell_it_and_the_others_tell_nothing(splits):
    for rows in splits.values():
        told = Counter((row["label"], *sounds(row)) for row in rows)
        each = len(rows) // (len(TASK.labels) * relations.OF)
        assert told == {
            (label, sound): each * share
            for label in range(len(TASK.labels))
            for sound, share in ((label, relations.TELLING), (relations.VAGUE, relations.OF - relations.TELLING))
        }


def test_nothing_but_names_and_these_words_differs_between_sentences(splits):
    for rows in splits.values():
        assert all(re.fullmatch(SHAPE, row["text"]) for row in rows)
        assert len({re.sub(r"\b[A-Z]\w+ by \w+:|\] \w+ \[", "_", row["text"]) for row in rows}) == len(TASK.labels) + 1


def test_every_sentence_has_names_of_its_own(splits):
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
