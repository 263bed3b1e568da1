"""A user's mistakes: the exit code of each, one line on stderr, and nothing printed or written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.safety_net import golden, measures

GOLDEN = golden.read("mistakes")


@pytest.mark.parametrize("words", measures.mistakes())
def test_a_mistake_exits_with_its_code_and_one_line(words: str, few: Path, elsewhere: Path) -> None:
    assert measures.mistake(words, few, elsewhere) == [*GOLDEN[words], 1, "", []]


def test_none_is_left_out() -> None:
    assert GOLDEN.keys() == {*measures.mistakes()}
    assert len(GOLDEN) >= 40
