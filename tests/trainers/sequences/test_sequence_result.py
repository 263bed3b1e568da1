"""The numbers of a sequence, its file and its table."""

import json

import pytest

from mubench.trainers.sequences.sequence_result import read_sequences, write_sequence
from mubench.trainers.sequences.sequence_table import sequence_lines
from tests.fixtures.sequences import scores, sequence, standing, step


def test_erosion_reversal_and_cost_are_those_of_the_steps():
    one = sequence()
    assert one.erosion == pytest.approx(0.1)
    assert one.reversals == pytest.approx([0.25])
    assert one.passes == pytest.approx([0.25, 0.75])


def test_a_file_holds_what_was_written_and_lies_apart_from_rows(tmp_path):
    path = write_sequence(sequence(), tmp_path)
    assert path == tmp_path / "sequences" / "cifar10-mini-resnet-del10-scrub-s0-steps2.json"
    assert read_sequences(tmp_path) == [sequence()] and not list(tmp_path.glob("*.json"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one.update(steps=[]), "steps: List should have at least 1 item"),
        (lambda one: one.update(ratio=0), "ratio: Input should be greater than or equal to 1"),
        (lambda one: one["base"].update(test=2), "base.test: Input should be less than or equal to"),
        (lambda one: one["base"].update(requests=[0.5]), "file: Value error, expected scores on the rows of all 2"),
        (lambda one: one.update(more=1), "more: Extra inputs are not permitted"),
        (lambda one: one["arguments"].update(at="/root"), "arguments: Value error, expected no path"),
    ],
)
def test_a_file_of_something_else_is_named_in_one_line(tmp_path, change, message):
    path = write_sequence(sequence(), tmp_path)
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))
    with pytest.raises(ValueError, match=f"expected {path} to be a sequence of requests, got ") as raised:
        read_sequences(tmp_path)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_long_file_and_none_are_one_line_too(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected sequences in .* got none"):
        read_sequences(tmp_path)
    path = write_sequence(sequence(), tmp_path)
    path.write_text(path.read_text() + " " * 100_000)
    with pytest.raises(ValueError, match="more than 64,000 bytes"):
        read_sequences(tmp_path)


def test_the_table_has_a_line_for_every_model_and_three_for_what_follows():
    title, head, *lines = [" ".join(line.split()) for line in sequence_lines(sequence())]
    assert title.endswith("scrub, base seed 0, seed 0: 2 requests of 5 % each")
    assert head == "model % rows S at its % S at the last % util. test retain own earlier first passes"
    assert lines == [
        "base 0 - - - - 0.70 1.00 1.00 - 1.00 0.00",
        "request 1 5 10 - 0.50 (0.40-0.60) 0.05 0.65 1.00 0.50 - 0.50 0.25",
        "request 2 10 10 0.50 (0.40-0.60) 0.50 (0.40-0.60) 0.05 0.60 1.00 0.70 0.75 0.75 0.75",
        "one shot 10 20 0.50 (0.40-0.60) 0.50 (0.40-0.60) 0.05 0.66 1.00 0.62 - 0.60 0.30",
        "retrained 10 20 - - - 0.68 1.00 0.62 - 0.60 1.00",
        "erosion: the test score changes by -0.10 (0.70 to 0.60); one shot 0.66, retrained 0.68",
        "reversal: the score on rows of earlier requests changes by +0.25 until the end, on average; first request: "
        "0.50 after it, 0.75 at the end, retrained 0.60, base 1.00",
        "cost: 0.75 of retraining's passes; one shot 0.30, 2.5 times that",
    ]


def test_a_sequence_that_diverged_has_the_requests_before_it(tmp_path):
    cut = {"steps": sequence().steps[:1], "stopped": "expected a finite loss, got nan at step 3", "one_shot": None}
    write_sequence(sequence(**cut), tmp_path)
    (found,) = read_sequences(tmp_path)
    assert (found.planned, found.ratios, found.passes) == (2, [5, 10], [0.25])
    lines = [" ".join(line.split()) for line in sequence_lines(found)]
    assert lines[0].endswith(": 2 requests of 5 % each") and lines[3].startswith("request 1 5 10 ")
    assert lines[4].startswith("retrained 10 - ") and "reversal: one request is finished, and none after it" in lines
    assert lines[-3:] == [
        "cost: 0.25 of retraining's passes; one shot -",
        "stopped by request 2 of 2, which diverged: expected a finite loss, got nan at step 3",
        "one shot: diverged",
    ]


@pytest.mark.parametrize("change", [{"steps": sequence().steps[:1]}, {"stopped": "expected a finite loss, got nan"}])
def test_missing_requests_need_a_reason_and_complete_ones_have_none(change):
    with pytest.raises(ValueError, match="expected all 2 requests, or why the next one failed, got "):
        sequence(**change)


def test_a_ratio_without_signal_is_marked_and_explained():
    gate = standing(5, no_signal="no signal: retrained models' row differs by 0.30")
    none = standing(10, None, no_signal="no signal for 'mean': none")
    flagged = standing(10, None, flags=["nan"])
    steps = [step(5, 0.25, scores(0.6, 1, 1), own=gate, whole=none), step(10, 0.5, scores(0.6, 1, 1), whole=flagged)]
    lines = sequence_lines(sequence(steps=steps))
    assert "0.50* (0.40-0.60)" in lines[3]
    assert "no signal" in lines[3] and " nan " in lines[4]
    assert lines[-2:] == ["5 %: no signal: retrained models' row differs by 0.30", "10 %: no signal for 'mean': none"]
