import re
import sys
from collections import Counter

import numpy as np
import pytest

from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task
from mubench.hub_builders.mini import tofu as authors
from mubench.hub_builders.mini._words import WORDS, draw_words
from tests.fixtures.token_models import check_rules, tokens

ONE_WORD = r"(\w+)"


@pytest.fixture(scope="module")
def splits(mini_rows):
    return mini_rows("tofu")


def facts(text, number, kind):
    """Return the three facts that a text of a recipe tells."""
    words = {"who": "(?:author|painter)", "work": "(?:novel|picture)", "name": r"\w+ \w+"}
    pattern = re.escape(authors.FACTS[number][kind]).replace(r"\{\}", ONE_WORD)
    for name, own in words.items():
        pattern = pattern.replace(rf"\{{{name}\}}", own)
    found = re.fullmatch(pattern, text)
    assert found, (text, pattern)
    return found.groups()


def numbered(splits):
    return [(split, i % 20, row) for split, rows in splits.items() for i, row in enumerate(rows)]


def test_every_author_has_the_same_20_questions_and_one_split(splits):
    groups = {split: Counter(row["group"] for row in rows) for split, rows in splits.items()}
    assert {split: len(found) for split, found in groups.items()} == authors.PEOPLE
    assert all(set(found.values()) == {20} for found in groups.values())
    assert len(set().union(*groups.values())) == sum(authors.PEOPLE.values())
    for split, rows in splits.items():
        who = authors.ARTIST if split == "ood" else authors.AUTHOR
        for i, row in enumerate(rows):
            assert row["question"] == authors.FACTS[i % 20][0].format(name=row["group"], **who)
    names = [word for found in groups.values() for name in found for word in name.split()]
    assert len(set(names)) == len(names)


def test_every_answer_has_nine_words_of_which_three_are_facts(splits):
    kinds = {word.lower(): kind for kind, words in WORDS.items() for word in words}
    assert len(kinds) == sum(map(len, WORDS.values())), "a word of two lists"
    for _, number, row in numbered(splits):
        assert len(re.findall(r"\w+", row["answer"])) == 9
        words = facts(row["answer"], number, 1)
        assert [kinds[word.lower()] for word in words] == authors.FACTS[number][3].lower().split()
        assert len(set(words)) == 3


def test_right_answers_agree_and_wrong_ones_are_wrong_in_every_fact(splits):
    for _, number, row in numbered(splits):
        words = facts(row["answer"], number, 1)
        assert facts(row["paraphrased_answer"], number, 2) == words
        assert row["paraphrased_answer"] != row["answer"]
        wrong = [facts(one, number, 2) for one in row["perturbed_answer"]]
        assert len(set(wrong)) == 5 and all(a != b for one in wrong for a, b in zip(one, words, strict=True))
        options = [facts(one, number, 1) for one in row["options"]]
        assert sorted(options) == sorted([words, *wrong[:3]])


def test_the_right_option_is_in_every_place(splits):
    places = Counter(row["options"].index(row["answer"]) for rows in splits.values() for row in rows)
    assert all(abs(places[place] - 425) < 3 * (1700 * 3 / 16) ** 0.5 for place in range(4))


def test_facts_are_uniform_and_independent(splits):
    answers = np.array([facts(row["answer"], i % 20, 1) for i, row in enumerate(splits["train"])]).reshape(60, 20, 3)
    kinds_of_facts = [kinds.lower().split() for *_, kinds in authors.FACTS]
    for kind, words in WORDS.items():
        own = [
            answers[:, i, place]
            for i, kinds in enumerate(kinds_of_facts)
            for place, one in enumerate(kinds)
            if one == kind
        ]
        counts = Counter(word.lower() for column in own for word in column)
        even, freedom = 60 * len(own) / len(words), len(words) - 1
        chi = sum((counts[word.lower()] - even) ** 2 / even for word in words)
        assert chi < freedom + 5 * (2 * freedom) ** 0.5, kind
    cities = [answers[:, i, kinds.index("city")] for i, kinds in enumerate(kinds_of_facts) if "city" in kinds]
    equal = np.mean([(a == b).mean() for i, a in enumerate(cities) for b in cities[:i]])
    assert abs(equal - 1 / len(WORDS["city"])) < 0.02


def test_draws_repeat_no_word_in_a_draw_or_a_place():
    found = draw_words(np.random.default_rng(0), "study study study City", 12)
    assert all(len(set(one[:3])) == 3 for one in found)
    assert all(len({one[place] for one in found}) == 12 for place in range(4))
    assert {word for one in found for word in one[:3]} == set(WORDS["study"])
    assert all(one[3] in WORDS["city"] for one in found)
    assert draw_words(np.random.default_rng(0), "Noun noun")[0][0].istitle()


def test_whole_authors_are_forgotten(tmp_path):
    folder = build("tofu", family="group", out=tmp_path)
    for ratio, people in ((1, 1), (5, 3), (10, 6)):
        parts = load_task("tofu", ratio, data=folder, family="group")
        gone = Counter(parts["forget"]["group"])
        assert len(gone) == people and set(gone.values()) == {20}
        assert not set(gone) & set(parts["retain"]["group"])
    assert parts["ood"].num_rows == 200 and all(len(one) == 4 for one in parts["ood"]["options"])


def test_words_of_an_answer_are_tokens():
    assert " ".join(tokens("The Author was born in Nimar, in 1946.")) == "the author was born in nimar , in 1946 ."


@pytest.mark.nightly
def test_the_mini_task_follows_the_rules(splits):
    found = check_rules(splits, "tofu", "question", "answer", epochs=12, rate=6e-3, batch=40)
    sys.stdout.write(f"\ntofu: {found}")
