import json

import numpy as np
import pytest

from mubench.cards import audit_table, render
from mubench.cards.__main__ import main
from mubench.cards.audit_table import as_json, as_markdown, as_text, audit_tables, left_out
from mubench.cards.leaderboard import SHIPPED, formats, tables
from mubench.cards.picture import draw_audit
from mubench.cards.render import model_card
from mubench.trainers.evaluation import audit
from mubench.trainers.evaluation.audit import NotAudited
from mubench.trainers.evaluation.result import References, Value, read_results, write_result
from mubench.trainers.metrics.score import SCORE_VERSION

REFERENCES = {"references": References(retrained=[0, 1, 2, 3, 4], bases=[0, 1, 2]), "score_version": SCORE_VERSION}
# S, KL to retrained: it separates all controls; gap: it takes flip_cheat for retrained.
MODELS = {"base": (0.0, 1.0, 0.3), "retrain_keep50": (0.45, 0.6, 0.2), "flip_cheat": (0.0, 1.1, 0.01)}


@pytest.fixture
def rows(new_row):
    """A table that can be audited: kl_retrained separates every control, gap all but flip_cheat."""

    def make(method, seed, numbers, **changes):
        names = ("score", "kl_retrained", "gap")
        metrics = {name: Value(value=float(v), n=60) for name, v in zip(names, numbers, strict=True)}
        return new_row(method, score=numbers[0], seed=seed, **{**REFERENCES, **changes}, metrics=metrics)

    found = [
        make(method, seed, numbers, control=True, base_seed=seed)
        for method, numbers in MODELS.items()
        for seed in range(3)
    ]
    for seed in range(5):
        others = References(retrained=[k for k in range(5) if k != seed], bases=[0, 1, 2])
        numbers = (0.9, 0.1 + 0.01 * seed, 0.01 + 0.002 * seed)
        found.append(make("retrain", seed, numbers, control=True, references=others))
    methods = (("scrub", 0.8, 0.2, 0.2), ("salun", 0.6, 0.3, 0.1), ("npo", 0.4, 0.4, 0.15), ("ssd", 0.2, 0.5, 0.05))
    return [*found, *(make(method, 0, numbers) for method, *numbers in methods)]


@pytest.fixture
def audits(rows):
    return audit_tables(tables(rows))


def line_of(text, name):
    return next(line for line in text.splitlines() if name in line)


def test_the_text_shows_rates_power_and_what_is_weak(audits):
    text = as_text(audits)
    strong, weak = line_of(text, "kl_retrained"), line_of(text, "gap")
    numbers = "kl_retrained lower 1 0 of 5 = 0% 0.00 to 0.52 100% 100% 100% 1 1.00 1.00 to 1.00"
    assert " ".join(strong.split()) == numbers
    assert (
        " 100% 100% 0% 0 -0.67 " in " ".join(weak.split())
        and weak.endswith("weak: power")
        and "not measured" in line_of(text, "rouge_l_test")
    )
    assert "0/5 100% 1.00" in text and "A  cifar10 (mini), resnet: 5 % deleted" in text


def test_markdown_tables_have_equally_many_cells_in_every_line(audits):
    first, second, letters, *_ = as_markdown(audits).split("\n\n")
    for block in (first, second):
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert "| kl_retrained | 0/5 100% 1.00 |" in second and letters.startswith("A: cifar10 (mini)")


def test_power_that_no_table_has_is_a_dash(rows):
    cut = [row.metrics.items() if row.method == "flip_cheat" else () for row in rows]
    without = [
        row.model_copy(update={"metrics": {name: value for name, value in found if name != "gap"}}) if found else row
        for row, found in zip(rows, cut, strict=True)
    ]
    audits = audit_tables(tables(without))
    assert " 100% 100% - 1 -0.67 " in " ".join(line_of(as_text(audits), "gap ").split())
    assert "| 100% | 100% | - | 1 | -0.67 |" in line_of(as_markdown(audits), "| gap |")


def test_json_holds_every_table_and_the_weak_metrics_read_it_back(audits, tmp_path, monkeypatch):
    path = tmp_path / "audit.json"
    path.write_text(as_json(audits))
    gap = json.loads(path.read_text())["metrics"]["gap"]
    (one,) = gap["tables"].values()
    assert gap["weak"] == ["power"] and one["power"] == {"base": 1, "retrain_keep50": 1, "flip_cheat": 0}
    assert one["tau"] == gap["tau"] == pytest.approx(-2 / 3, abs=1e-6) and one["rows"] == 4
    monkeypatch.setattr(audit, "SHIPPED", path)
    assert audit.weak_metrics.__wrapped__() == {"gap"}


@pytest.mark.slow
def test_the_picture_is_reproducible(audits, tmp_path):
    first, second = (draw_audit(audits, tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert first == second and len(first) > 10_000


def test_a_weak_metric_is_marked_in_tables_and_on_cards(rows, new_run, monkeypatch):
    for module in (formats, render):
        monkeypatch.setattr(module, "weak_metrics", lambda: frozenset({"gap", "kl_retrained"}))
    text = formats.as_text(tables(rows))
    assert formats.WEAK.format("gap, KL") in " ".join(text.split())
    assert "| gap (weak) |" in formats.as_markdown(tables(rows)[0])
    card = model_card("some", new_run(), result=rows[-1])
    assert "(can be cheated) (weak) |" in card and "retrained, 0 untouched or destroyed (weak)" not in card
    assert "weak: alone, such a metric" in card


def test_without_weak_metrics_nothing_is_marked(rows, new_run, monkeypatch):
    for module in (formats, render):
        monkeypatch.setattr(module, "weak_metrics", frozenset)
    assert "weak" not in formats.as_text(tables(rows)) + model_card("some", new_run(), result=rows[-1])


def test_the_command_prints_the_audit_and_writes_it(rows, tmp_path, capsys):
    for row in rows:
        write_result(row, tmp_path / "rows")
    assert main(["audit", "--results", str(tmp_path / "rows"), "--out", str(tmp_path / "out")]) == 0
    output = capsys.readouterr().out
    assert "strong on" in output and output.endswith(f"{tmp_path}/out/audit.png\n")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"audit.json", "audit.md", "audit.png"}


def test_the_results_card_shows_the_audit_or_why_there_is_none(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for row in rows:
        write_result(row, "results")
    card = tmp_path / "results" / "README.md"
    assert main([]) == 0
    assert "](audit.png)" in card.read_text() and "| gap | lower | 1 | 0 of 5 = 0% |" in card.read_text()
    (tmp_path / "results" / f"{rows[-5].run_id}.json").unlink()
    assert main([]) == 0
    assert "The metrics are not audited on these rows: expected at least 5 rows of retrain of cif" in card.read_text()
    assert "audit.png" not in card.read_text() and not (tmp_path / "results" / audit_table.PICTURE).exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["audit"], "expected rows with S of version 2 of cifar10 (mini), resnet"),
        (["leaderboard", "--out", "there"], "expected --out with audit, got it with leaderb"),
    ],
)
def test_what_cannot_be_audited_is_refused_in_one_line(words, message, new_row, tmp_path, capsys):
    write_result(new_row(score_version=1), tmp_path / "results")
    assert main([*words, "--results", str(tmp_path / "results")]) == 2
    output = capsys.readouterr().err
    assert message in output and output.count("\n") == 1


def test_tables_of_earlier_versions_are_left_out_and_named(rows):
    earlier = [row.model_copy(update={"score_version": 1, "ratio": 5}) for row in rows]
    (old,) = tables(earlier)
    both = tables([*rows, *earlier])
    assert left_out(both) == [old.title] and left_out([old]) == []
    assert as_json(audit_tables(both)) == as_json(audit_tables(tables(rows)))
    with pytest.raises(NotAudited, match="expected rows with S of version 2"):
        audit_tables([old])


@pytest.mark.slow
def test_the_shipped_audit_is_that_of_the_shipped_rows():
    found = json.loads(as_json(audit_tables(tables(read_results(SHIPPED)))))
    shipped = json.loads(audit.SHIPPED.read_text())
    assert shipped["tables"] == found["tables"]
    for name, one in found["metrics"].items():
        there = shipped["metrics"][name]
        assert {key: there.get(key) for key in ("weak", "false_alarms")} == {
            key: one.get(key) for key in ("weak", "false_alarms")
        }
        taus = [[np.nan if each.get("tau") is None else each["tau"]] for each in (there, one)]
        np.testing.assert_allclose(*taus, atol=1e-6)
