import base64
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from mubench.hub_builders.hub.model_folder import Run
from mubench.trainers.evaluation import result as results
from mubench.trainers.evaluation.judge import judge
from mubench.trainers.evaluation.result import (
    Result,
    RunInfo,
    parse_result,
    read_result,
    read_results,
    to_json,
    write_result,
)

DEFINITION = {"file": "ab" * 32, "title": "Mine", "kind": "text_classification", "source": "rows.csv"}


@pytest.fixture(scope="module")
def row(world):
    run = RunInfo(
        run_id="some-run", tier="mini", task="cifar10", family="canonical", deletion_seed=0, ratio=5, split="aa",
        backbone="resnet", base_seed=0, method="scrub", recipe={"epochs": 12}, arguments={"gamma": 0.9, "n": None},
        tuned="default", seed=0, versions={}, device="cpu", cost={"seconds": 1.5},
    )  # fmt: skip
    return judge(run, world.views(saw=0.3, seed=5), world.retrained(), world.bases(), chance=0.1)


def test_a_row_reads_back_as_it_was_written(row, tmp_path):
    path = write_result(row, tmp_path / "results")
    assert path.name == "some-run.json" and read_result(path) == row
    assert read_results(tmp_path / "results") == [row]


def test_draws_take_one_line(row, tmp_path):
    lines = write_result(row, tmp_path).read_text().splitlines()
    (line,) = [line for line in lines if '"draws"' in line]
    packed = json.loads(f"{{{line.strip().rstrip(',')}}}")["draws"]
    assert len(lines) < 250 and np.frombuffer(base64.b64decode(packed), "<i2").tolist() == list(row.interval.draws)


def change(path, place, value):
    record = json.loads(path.read_text())
    inner = record
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("metrics", "score", "value"), math.nan, "metrics.score.value: Input should be a finite number"),
        (("metrics", "score", "value"), math.inf, "finite number"),
        (("metrics", "score", "value"), "0.5", "valid number"),  # numbers stored as strings
        (("metrics", "score", "n"), 0, "metrics.score.n"),
        (("metrics", "score", "extra"), 1, "metrics.score.extra: Unexpected keyword"),
        (("leaderboard", ), 1, "leaderboard: Extra inputs"),
        (("schema_version",), 2, "schema_version"),
        (("ratio",), 5.5, "ratio"),
        (("ratio",), 11, "ratio"),
        (("ratio",), True, "ratio"),
        (("tier",), "huge", "tier"),
        (("seed",), "0", "seed"),
        (("control",), 1, "control"),
        (("flags",), ["odd"], "flags.0"),
        (("run_id",), "../up", "run_id"),
        (("run_id",), "another", "to hold run 'some-run', got 'another'"),
        (("arguments", "output_dir"), "/home/me", "no path and no token"),
        (("arguments", "key"), "hf_abc", "no path and no token"),
        (("references", "bases"), [1, 0], "ascending"),
        (("references", "retrained"), [0], "references.retrained"),
        (("interval",), None, "score and its interval together"),
        (("interval", "draws"), [1001] * 2000, "interval.draws"),
        (("interval", "draws"), [True] * 2000, "interval.draws: Value error, expected draws as a list of integers"),
        (("interval", "draws"), "AAA", "interval.draws: Value error, expected draws as base64"),
        (("interval", "draws"), "/////w==", "interval.draws: Value error, expected 2000 draws from 0 to 1000"),
        (("interval", "draws"), [1] * 1999, "interval.draws"),
        (("interval", "draws"), [1] * 2001, "interval.draws"),
        (("interval", "low"), 1.1, "interval.low"),
        (("interval", "low"), 1.0, "low below high"),
        (("interval", "lost"), 2001, "interval.lost"),
        (("references", "bases"), [*range(65)], "references.bases"),
        (("references", "retrained"), [*range(65)], "references.retrained"),
        (("references", "identities"), ["a"] * 129, "references.identities"),
        (("base_seed",), -1, "base_seed"),
        (("base_seed",), 2**32, "base_seed"),
        (("method",), "x" * 65, "method"),
        (("method",), "\x1b[2J", "method"),
        (("method",), "$\\alpha$", "method"),
        (("device",), "cpu\x1b[2J", "printable characters"),
        (("arguments", "a"), "\u202e", "printable characters"),
        (("arguments", "a"), "x" * 257, "at most 256 characters"),
        (("arguments", "a"), [0] * 65, "arguments.a"),
        (("arguments", "a"), [[0]], "arguments.a"),
        (("arguments",), {f"a{i}": 0 for i in range(65)}, "at most 64 items"),
        (("versions",), {"a": "x" * 65}, "versions.a"),
        (("cost", "seconds"), -1.0, "cost.seconds"),
        (("cost", "seconds"), 1e13, "cost.seconds"),
        (("cost", "passes_share"), 5e-324, "0 or at least 1e-12"),
        (("metrics", "score", "value"), 1.1, "score from 0 to 1, got 1.1"),
        (("metrics", "mean", "value"), -0.1, "mean from 0 to 1e+12"),
        (("metrics", "row", "value"), -1e13, "row from -1e+12"),
        (("metrics", "js_retrained", "retrained"), 0.7, "js_retrained from 0 to 0.693147"),
        (("metrics", "own"), {"value": 0.5, "n": 3}, "metric of the suite"),
        (("flags",), ["constant_class", "constant_class"], "every flag once"),
        (("cost", "seconds"), math.nan, "cost.seconds"),
    ],
)  # fmt: skip
def test_invalid_rows_are_refused_in_one_line(row, tmp_path, place, value, message):
    path = write_result(row, tmp_path)
    change(path, place, value)
    with pytest.raises(ValueError, match=r"expected .*some-run\.json to") as caught:
        read_result(path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b" " * 64_001, "more than 64,000 bytes"),
        (b"[" * 60_000, "JSON nested too deeply"),
        (b'{"seed": 1, "seed": 1}', "'seed' twice"),
        (b'{"a": {"b": 1, "b": 1}}', "'b' twice"),
        (b'{"a" : 1, "\\u0061" : 1, "c": {"d": {"e": 1}}}', "'a' twice"),
        (b'{"a": {"b": {"c": {"d": 1, "d": 1}}}}', "'d' twice"),
        (b'{"a": [{"b": 1, "b": 1}]}', "'b' twice"),
        (b'{"a": "\xff"}', "codec can't decode"),
        (b'{"seed": ' + b"1" * 5000 + b"}", "Exceeds the limit"),
        (b'{"\\u001b[2J": 1}', "Field required"),
    ],
)
def test_a_text_is_bounded_before_it_is_read(tmp_path, text, message):
    path = tmp_path / "row.json"
    path.write_bytes(text)
    for read in (lambda: read_result(path), lambda: parse_result(text)):
        with pytest.raises(ValueError, match="expected") as caught:
            read()
        assert message in str(caught.value) and str(caught.value).isprintable()


def test_a_row_with_colons_in_its_texts_reads_back(row):
    other = row.model_copy(update={"device": "cuda:0", "arguments": {"a": '": "'}})
    assert parse_result(results.to_json(other)) == other


def test_a_text_is_measured_in_bytes():
    with pytest.raises(ValueError, match="more than 64,000 bytes"):
        parse_result("€" * 22_000)


def test_a_folder_is_no_row(tmp_path):
    with pytest.raises(ValueError, match="got no file"):
        read_result(tmp_path)


def test_draws_take_two_bytes_each(row):
    assert row.interval.draws.itemsize == 2 and len(row.interval.draws) == 2000
    older = json.loads(results.to_json(row))
    older["interval"]["draws"] = list(row.interval.draws)
    assert parse_result(json.dumps(older)) == row


def test_missing_fields_and_half_a_file_are_refused(row, tmp_path):
    path = write_result(row, tmp_path)
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match=r"some-run\.json to be a result row"):
        read_result(path)
    record = json.loads(text)
    del record["split"]
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="split: Field required"):
        read_result(path)


def test_a_row_without_score_flag_or_reason_is_refused(row, tmp_path):
    path = write_result(row, tmp_path)
    record = json.loads(path.read_text())
    del record["metrics"]["score"]
    path.write_text(json.dumps({**record, "interval": None}))
    with pytest.raises(ValueError, match="expected a score, a flag or a reason"):
        read_result(path)
    path.write_text(json.dumps({**record, "interval": None, "flags": ["nan"]}))
    assert read_result(path).flags == ["nan"]


def test_a_write_that_fails_leaves_the_old_row_and_nothing_else(row, tmp_path, monkeypatch):
    path = write_result(row, tmp_path)
    monkeypatch.setattr(results, "to_json", lambda result: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_result(row, tmp_path)
    assert read_result(path) == row and list(tmp_path.iterdir()) == [path]


def test_an_empty_folder_names_the_command_that_fills_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="mubench sweep --task cifar10"):
        read_results(tmp_path / "nowhere")


def test_a_model_folders_run_becomes_a_rows_description():
    run = Run(
        task="cifar10", tier="mini", family="canonical", deletion_seed=0, ratio=5, split="aa", backbone="resnet",
        base_seed=1, method="scrub", seed=2, recipe={"epochs": 12}, arguments={"gamma": 0.9}, parent="ab" * 32,
        cost={"seconds": 2.0, "forward": 3}, versions={"torch": "2"}, device="cpu",
    )  # fmt: skip
    info = RunInfo.from_run(run, "some-run", control=True)
    assert info.identity == run.identity and info.control and info.run_id == "some-run"
    assert (info.base_seed, info.seed, info.cost) == (1, 2, {"seconds": 2.0, "forward": 3})
    own = replace(run, task="mine", tier="custom", definition=DEFINITION)
    assert RunInfo.from_run(own, "some-run").task_row.title == "Mine"
    base = Run(task="cifar10", tier="mini", family="canonical", deletion_seed=0, ratio=None, split="aa",
               backbone="resnet", base_seed=1, recipe={})  # fmt: skip
    with pytest.raises(ValueError, match="unlearned model, got base model 'b'"):
        RunInfo.from_run(base, "b")


def test_a_row_of_a_users_own_task_carries_its_definition(row, tmp_path):
    own = Result(**{**row.model_dump(), "task": "mine", "tier": "custom", "definition": DEFINITION})
    assert read_result(write_result(own, tmp_path)) == own
    assert own.task_row.kind == "text_classification" and own.definition.file == "ab" * 32
    assert "definition" not in json.loads(write_result(row, tmp_path).read_text())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tier": "custom"}, "expected a definition of the task with tier custom"),
        ({"definition": DEFINITION}, "expected a definition of the task with tier custom"),
        ({"tier": "custom", "definition": DEFINITION}, "a key that no task of the suite has, got 'cifar10'"),
        ({"tier": "custom", "task": "Mine", "definition": DEFINITION}, "got 'Mine'"),
        ({"tier": "custom", "task": "mine", "definition": {**DEFINITION, "kind": "texts"}}, "definition.kind"),
        ({"tier": "custom", "task": "mine", "definition": {**DEFINITION, "recipes": {"x": {}}}}, "backbones of text"),
    ],
)
def test_a_row_whose_definition_does_not_fit_is_refused(row, changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_result(json.dumps({**json.loads(to_json(row)), **changes}))
