"""The deletion report: facts of a row and its data, and nothing half-written for other data."""

import hashlib
from html.parser import HTMLParser

import pytest

from mubench.cards.console import main
from mubench.cards.report.deletion_report import NOT_CLAIMED, as_html, as_markdown, hash_ids, sections
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task, task_info
from mubench.trainers.evaluation.result import write_result


def test_the_hash_is_that_of_the_sorted_ids():
    assert hash_ids(["b", "a"]) == hashlib.sha256(b"a\nb").hexdigest() != hash_ids(["a"])


def test_a_report_has_the_facts_of_the_row_and_what_is_not_claimed(new_row):
    row = new_row("scrub", score=0.82, base_seed=0)
    parts = sections(row, ["a", "b"])
    for text in (as_markdown("Report", parts), as_html("Report", parts)):
        for fact in ("cifar10, mini tier", "arXiv:2302.09880", "base seed 0", "10.0% of the passes of retraining"):
            assert fact in text
        assert f"{row.interval.low:.2f} to {row.interval.high:.2f}" in text and "0.82" in text
        assert "3 retrained models and 2 base seeds" in text and hash_ids(["a", "b"]) in text
    assert [part.title for part in parts][-1] == "Not claimed" and parts[-1].sentences == NOT_CLAIMED


def test_without_a_score_the_report_states_the_reason(new_row):
    row = new_row("scrub", score=0.82, base_seed=0).model_copy(update={"interval": None, "flags": ["nan"]})
    assert "No S: nan." in as_markdown("Report", sections(row, ["a"]))


def test_html_is_escaped_and_loads_nothing(new_row):
    row = new_row("scrub", score=0.82, base_seed=0, device='cpu"><script src="x">')
    tags = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append((tag, dict(attrs)))

    Reader().feed(as_html("R", sections(row, ["a"])))
    assert "script" not in [tag for tag, _ in tags] and not [one for _, one in tags if {"src", "href"} & one.keys()]


@pytest.mark.slow
def test_the_command_writes_the_report_beside_the_ids_of_the_deleted_rows(new_row, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    build("cifar10", out=tmp_path)
    row = new_row("scrub", score=0.82, base_seed=0, split=task_info("cifar10").split)
    path = write_result(row, tmp_path / "results")
    assert main(["report", str(path)]) == 0
    folder = tmp_path / "reports" / row.run_id
    assert capsys.readouterr().out.split() == [f"reports/{row.run_id}/{name}" for name in
                                               ("report.md", "report.html", "deleted_ids.txt")]  # fmt: skip
    ids = (folder / "deleted_ids.txt").read_text().split()
    assert sorted(load_task("cifar10", 5)["forget"]["example_id"]) == ids
    assert hash_ids(ids) in (folder / "report.md").read_text()


@pytest.mark.slow
def test_data_of_another_split_are_refused(new_row, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    build("cifar10", out=tmp_path)
    path = write_result(new_row("scrub", score=0.82, base_seed=0), tmp_path / "results")
    assert main(["report", str(path)]) == 2
    assert "expected the data of" in capsys.readouterr().err and not (tmp_path / "reports").exists()


@pytest.mark.parametrize("name", ["nothere.json", "."])
def test_a_row_that_is_none_is_one_line(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", name]) == 2
    assert capsys.readouterr().err.count("\n") == 1
