import re
from collections import Counter

import pytest

from mubench.hub_builders.mini import samsum as dialogues
from mubench.hub_builders.mini._words import WORDS
from mubench.hub_builders.tasks import TASKS
from tests.fixtures.mini_rules import check
from tests.fixtures.token_models import tokens

SHARED, PRIVATE = dialogues.SHARED_FACTS.split(), dialogues.PRIVATE_FACTS.split()
SHAPES = {
    "dialogue": r"(?P<one>\w+): Shall we eat {food} in {city} in {month}\?\n"
                r"(?P<two>\w+): Yes, together with the two we met\.\n"
                r"(?P=one): Do they bring what they promised\?\n(?P=two): All of it\.",
    "letter": r"(?P<one>\w+) writes to (?P<two>\w+) that they shall eat {food} in {city} in {month}, "
              r"together with the two they met, who bring what they promised, all of it\.",
    "summary": r"In {month} they eat {food} in {city}\. (\w+) the (\w+) brings (\w+) (\w+), (\w+) a (\w+) (\w+)\.",
}  # fmt: skip


@pytest.fixture(scope="module")
def splits(mini_rows):
    return mini_rows("samsum")


def read(text, shape):
    """Return the words in the places of a text, those that are named and the others."""
    found = re.fullmatch(SHAPES[shape].format(**{kind: rf"(?P<{kind}>\w+)" for kind in SHARED}), text)
    assert found, text
    named = found.groupdict()
    return named, list(found.groups()[len(named) :])


def facts(split, row):
    """Return the names of the two, what they say, and what they had private before."""
    stated, _ = read(row["dialogue"], "letter" if split == "ood" else "dialogue")
    shared, private = read(row["summary"], "summary")
    assert shared == {kind: stated[kind] for kind in SHARED}, row
    return (stated["one"], stated["two"]), shared, private


def test_dialogues_and_summaries_have_one_form_and_agree_on_shared_facts(splits):
    for split, rows in splits.items():
        for row in rows:
            _, shared, private = facts(split, row)
            for kind, word in [*shared.items(), *zip(PRIVATE, private, strict=True)]:
                assert word in WORDS[kind]
            assert len(set(private)) == len(private)


def test_seven_of_a_summarys_twenty_tokens_are_in_no_dialogue(splits):
    for split, rows in splits.items():
        spoken = {word for row in rows for word in tokens(row["dialogue"])}
        for row in rows:
            _, _, private = facts(split, row)
            assert len(tokens(row["summary"])) == 20 and len(private) == 7
            assert not {word.lower() for word in private} & spoken


def test_names_are_unique_and_in_no_summary(splits):
    pairs = [facts(split, row)[0] for split, rows in splits.items() for row in rows]
    assert set(Counter(name for pair in pairs for name in pair).values()) == {1}
    summaries = {word for rows in splits.values() for row in rows for word in re.findall(r"\w+", row["summary"])}
    assert not summaries & {name for pair in pairs for name in pair}


@pytest.mark.parametrize("place", range(len(PRIVATE)))
def test_private_facts_are_independent_of_shared_ones(splits, place):
    known = [facts("train", row)[1:] for row in splits["train"]]
    pairs = Counter((shared["food"], private[place]) for shared, private in known)
    foods, words = Counter(shared["food"] for shared, _ in known), Counter(private[place] for _, private in known)
    expected = {(food, word): foods[food] * words[word] / len(known) for food in foods for word in words}
    statistic = sum((pairs[cell] - size) ** 2 / size for cell, size in expected.items())
    freedom = (len(foods) - 1) * (len(words) - 1)
    assert abs(statistic - freedom) < 4 * (2 * freedom) ** 0.5


@pytest.mark.nightly
def test_the_mini_task_follows_the_rules(splits):
    from tests.fixtures import token_models  # noqa: PLC0415  loads torch
    from tests.fixtures.mini_models import train_models  # noqa: PLC0415

    def pairs(rows):
        return [(row["dialogue"], row["summary"]) for row in rows]

    def fit(rows, seed):
        coder = token_models.Coder(pairs(rows))
        model = token_models.train_reader(pairs(rows), coder, seed=seed, epochs=20, rate=6e-3, batch=30)
        return lambda others: token_models.token_outputs(model, coder, pairs(others))

    print(check(*train_models(TASKS["samsum"], splits, fit), tokens=True))  # noqa: T201  (to be quoted)
