import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mubench.hub_builders.raw._jsonl import parse_json_lines, select_fields

FIELDS = {"question": "string", "wrong": "strings"}
GOOD = '{"question": "Who?", "wrong": ["a", "b"], "more": 1}'


def read(text):
    return parse_json_lines(text if isinstance(text, bytes) else text.encode(), FIELDS, "x.jsonl")


@pytest.mark.parametrize("text", [
    GOOD, f"{GOOD}\n", f"\n{GOOD}\r\n\n \t\n", f"\ufeff{GOOD}", GOOD.replace("Who?", "\\u0057ho?"),
])  # fmt: skip
def test_the_required_fields_of_every_object_are_kept(text):
    assert read(text) == [{"question": "Who?", "wrong": ["a", "b"]}]


def test_line_separators_within_a_text_are_part_of_it():
    assert read(GOOD.replace("Who?", "a\u2028b\x85c\\nd"))[0]["question"] == "a\u2028b\x85c\nd"


@pytest.mark.parametrize(("line", "message"), [
    ('{"question": "Who?", "wrong": [}', r"a JSON object, got '.*' \(Expecting value\): x.jsonl line 2"),
    ('{"question": "Who?", "wrong": []', r"a JSON object, got '.*' \(Expecting ',' delimiter\): x.jsonl line 2"),
    ("no", r"a JSON object, got 'no' \(Expecting value\): x.jsonl line 2"),
    ("[1, 2]", r"an object, got '\[1, 2\]': x.jsonl line 2"),
    ("{}", "the fields question, wrong, got none called question: x.jsonl line 2"),
    ('{"question": "Who?"}', "the fields question, wrong, got none called wrong: x.jsonl line 2"),
    ('{"question": 3, "wrong": []}', "a text as question, got '3': x.jsonl line 2"),
    ('{"question": null, "wrong": []}', "a text as question, got 'None': x.jsonl line 2"),
    ('{"question": "\\ud800", "wrong": []}', "a text as question, got '.*ud800': x.jsonl line 2"),
    ('{"question": "Who?", "wrong": "me"}', "a list of texts as wrong, got 'me': x.jsonl line 2"),
    ('{"question": "Who?", "wrong": ["me", 3]}', "a list of texts as wrong, got .*: x.jsonl line 2"),
    ('{"question": "Who?", "question": "I", "wrong": []}', ".*the key 'question' twice.*: x.jsonl line 2"),
    ('{"question": "Who?", "wrong": [], "more": {"a": 1, "a": 2}}', ".*the key 'a' twice.*: x.jsonl line 2"),
    ('{"question": "Who?", "wrong": [], "more": NaN}', ".*NaN is no JSON.*: x.jsonl line 2"),
    (f'{{"more": {"9" * 5000}}}', "a JSON object, got .*: x.jsonl line 2"),
    ("[" * 100_000, "a JSON object, got one nested too deeply: x.jsonl line 2"),
])  # fmt: skip
def test_a_bad_line_is_named_by_file_and_line(line, message):
    with pytest.raises(ValueError, match=rf"^expected {message}$") as error:
        read(f"{GOOD}\n{line}\n{GOOD}")
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(("data", "message"), [
    (b"caf\xe9", "expected UTF-8 text, got other bytes: x.jsonl"),
    (b"", "expected at least one line, got none: x.jsonl"),
    (b"\n \n", "expected at least one line, got none: x.jsonl"),
])  # fmt: skip
def test_a_file_without_text_is_refused(data, message):
    with pytest.raises(ValueError, match=rf"^{message}$"):
        read(data)


def test_fields_of_a_row_are_selected_and_checked():
    assert select_fields({"question": "Who?", "wrong": [], "n": 1}, FIELDS, "row 3") == {
        "question": "Who?",
        "wrong": [],
    }
    with pytest.raises(ValueError, match=r"^expected a text as question, got 'None': row 3$"):
        select_fields({"question": None, "wrong": []}, FIELDS, "row 3")


def test_an_error_is_one_line_for_any_quoted_text():
    with pytest.raises(ValueError, match="expected a text as question, got ") as error:
        read('{"question": ["a\\nb"], "wrong": []}')
    assert "\n" not in str(error.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.fixed_dictionaries(
    {"question": st.text() | VALUES, "wrong": st.lists(st.text(), max_size=3) | VALUES}, optional={"more": VALUES}
)
LINES = OBJECTS.map(json.dumps) | VALUES.map(json.dumps) | st.text(alphabet='{}[]",:\\u0 aén\t\r') | st.just(GOOD)
FILES = st.lists(LINES, max_size=4).map(lambda lines: "\n".join(lines).encode()) | st.binary(max_size=40)


def check(data):
    """Hold the reader against the standard library, line by line: its rows or a one-line error of ours."""
    try:
        found = read(data)
    except ValueError as error:
        raised = (type(error), str(error))
    else:
        raised = None
    if raised:
        assert raised[0] is ValueError and re.fullmatch(r"expected .*x\.jsonl.*", raised[1])
        return
    lines = [line for line in data.decode("utf-8-sig").split("\n") if line.strip()]
    assert found == [{name: json.loads(line)[name] for name in FIELDS} for line in lines]
    for row in found:
        row["question"].encode()
        assert all(one.encode() is not None for one in row["wrong"])


@settings(max_examples=60, deadline=None)
@given(FILES)
def test_any_bytes_give_rows_or_an_error(data):
    check(data)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries({"question": st.text(), "wrong": st.lists(st.text())}), min_size=1, max_size=4))
def test_any_rows_are_read_back(rows):
    rows = json.loads(json.dumps(rows))
    for ascii_only in (True, False):
        assert read("\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)) == rows


@pytest.mark.nightly
@settings(max_examples=3_000, deadline=None)
@given(FILES)
def test_any_bytes_give_rows_or_an_error_over_many_cases(data):
    check(data)
