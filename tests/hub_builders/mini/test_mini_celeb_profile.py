import re
import sys

import numpy as np
import pytest

from mubench.hub_builders.mini import celeb_profile as people
from mubench.hub_builders.mini._words import WORDS
from tests.fixtures.token_models import check_rules

KINDS = people.FACTS.split()


@pytest.fixture(scope="module")
def splits(mini_rows):
    return mini_rows("celeb_profile")


def facts(row):
    found = re.fullmatch(re.escape(people.TEXT).replace(r"\{\}", r"(\w+)"), row["text"])
    assert found, row["text"]
    return found.groups()


def test_people_differ_in_eight_facts_and_nothing_else(splits):
    for rows in splits.values():
        for row in rows:
            assert len(re.findall(r"\w+", row["text"])) == 22
            words = facts(row)
            assert all(word in WORDS[kind] for word, kind in zip(words, KINDS, strict=True))
            assert words[0] != words[6], "born and living in one place"


def test_names_are_unique(splits):
    names = [row["group"] for rows in splits.values() for row in rows]
    parts = [part for name in names for part in name.split()]
    assert len(parts) == len(set(parts)) == 2 * 1_500
    assert all(row["prompt"] == f"Write a biography of {row['group']}." for rows in splits.values() for row in rows)
    assert not any(part in row["text"] for row in splits["test"] for part in row["group"].split())


def test_facts_are_uniform_and_independent(splits):
    words = np.array([facts(row) for rows in splits.values() for row in rows])
    for place, kind in enumerate(KINDS):
        numbers = np.array([WORDS[kind].index(word) for word in words[:, place]])
        size = len(WORDS[kind])
        chi = ((np.bincount(numbers, minlength=size) - len(words) / size) ** 2 / (len(words) / size)).sum()
        assert chi < size - 1 + 5 * (2 * (size - 1)) ** 0.5, kind
        for other, other_kind in enumerate(KINDS[:place]):
            if {kind, other_kind} == {"city"}:
                continue
            second = np.array([WORDS[other_kind].index(word) for word in words[:, other]])
            table = np.histogram2d(numbers, second, bins=[range(size + 1), range(len(WORDS[other_kind]) + 1)])[0]
            even = np.outer(table.sum(1), table.sum(0)) / table.sum()
            freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
            assert ((table - even) ** 2 / even).sum() < freedom + 5 * (2 * freedom) ** 0.5, (kind, other_kind)


@pytest.mark.nightly
def test_the_mini_task_follows_the_rules(splits):
    found = check_rules(splits, "celeb_profile", "prompt", "text", epochs=16, rate=1e-2, batch=40)
    sys.stdout.write(f"\nceleb_profile: {found}")
