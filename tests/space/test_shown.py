"""What is shown: the leaderboard, comparisons, data and finished runs, on made-up rows and runs."""

import ast
import base64
import gc
import io
import json
import math
import re
import weakref
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mubench.cards.leaderboard import tables
from mubench.trainers.evaluation.result_files import to_json, write_result
from tests.cards.conftest import make_row
from tests.space.conftest import SPACE, Import, made_up

EVIL = '<img src=x onerror="alert(1)">'


class Tags(HTMLParser):
    """Collects tags, and whether every one that was opened was closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in ("img", "circle", "line", "path", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()


def whole(page: str) -> list[str]:
    tags = Tags(page)
    assert not tags.open
    assert not re.search(r"\b(nan|None)\b", page.replace("[nan]", ""))  # a flag
    return tags.seen


def test_handlers_and_jobs_know_no_gradio() -> None:
    for path in [*SPACE.glob("handlers/*.py"), *SPACE.glob("jobs/*.py"), SPACE / "limits.py"]:
        tree = ast.parse(path.read_text())
        names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert not [name for name in names if name.split(".")[0] in ("gradio", "tabs", "app", "api")], path


@pytest.fixture
def board(space: Import, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The leaderboard of a suite that ships no rows."""
    found = space("handlers.board")
    monkeypatch.setattr(found, "shipped_tables", tuple)
    return found


def test_the_leaderboard_has_ranks_ties_controls_and_a_visitors_runs(
    space: Import, board: Any, place: Path, demo_rows: Any
) -> None:
    assert board.lines() == []
    whole(board.board_shown([]))
    for row in demo_rows:
        write_result(row, place / "results")
    own = made_up(score=0.6)
    lines = board.lines([own, "0" * 24, "../etc", 5])
    words = [line.words for line in lines]
    assert [line[:2] for line in words if line[-1] == "here"][:3] == [
        ("=1*", "salun"), ("=1*", "scrub"), ("3*", "finetune"),
    ]  # fmt: skip
    assert [line[0] for line in words].count("yours") == 1 and {line[0] for line in words[-5:]} == {"control"}
    assert [line.origin for line in board.with_own(lines, {"task": ["imdb"]})] == ["yours"]
    assert {line.origin for line in board.with_own(lines, {"origin": ["here"]})} == {"here"}
    assert {len(line) for line in words} == {len(board.HEAD)}
    only = board.filtered(lines, {"method": ["scrub"], "task": ["cifar10"], "tier": []})
    assert {line.row.method for line in only} == {"scrub"} and len(only) == 2
    assert board.filtered(lines, {"ratio": ["7"]}) == []
    assert board.filtered(lines, {"ratio": ["5", 5], "origin": ["submitted"]}) == []
    with pytest.raises(ValueError, match=r"^ratio must be one of 1, 2, .*, 10, got '70'$"):
        board.filtered(lines, {"ratio": ["70"]})
    charts = space("charts.board_charts")
    for page in (board.board_shown(lines), charts.cost_chart(lines), charts.parts_chart(lines)):
        assert {"table", "svg"} & set(whole(page))
    assert board.filters(lines)["ratio"] == ["5"]
    assert [board.at_first(name, values) for name, values in board.filters(lines).items()] == [
        [], ["cifar10"], [], [], [], [],
    ]  # fmt: skip


def test_shipped_rows_are_ranked_apart_from_those_made_here(
    board: Any, place: Path, demo_rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in demo_rows:
        if row.method != "salun":
            write_result(row, place / "results")
    ships = tuple(tables(demo_rows))
    monkeypatch.setattr(board, "shipped_tables", lambda: ships)
    lines = board.lines()
    best = {origin: next(line.words[:2] for line in lines if line.origin == origin) for origin in board.RANKED}
    assert best == {"shipped": ("=1*", "salun"), "here": ("1*", "scrub")}
    assert board.lines()[0].entry is lines[0].entry  # nothing is made twice
    old = weakref.ref(next(line for line in lines if line.origin == "here"))
    here = board.filtered(lines, {"origin": ["here"]})
    assert {line.origin for line in here} == {"here"} and {line.kind for line in here} == {"control", "here"}
    for changed in (place / "results").glob("*finetune*"):
        changed.unlink()
    del lines, here
    assert not [line for line in board.lines() if line.origin == "here" and line.row.method == "finetune"]
    gc.collect()
    assert old() is None  # nor kept when it is made anew


def test_a_damaged_row_is_told_without_its_place(space: Import, board: Any, place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "bad.json").write_text("{")
    (place / "results").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Exception, match="expected a file here to be a result row") as caught:
        space("tabs.common").one_line(board.lines)()
    assert "elsewhere" not in str(caught.value) and str(place) not in str(caught.value)


@pytest.mark.parametrize("chosen", [None, [], {"secret": ["x"]}, {"task": "cifar10"}])
def test_filters_are_checked(space: Import, chosen: Any) -> None:
    with pytest.raises(ValueError, match=r"filters must be|name of a filter must be one of tier, task"):
        space("handlers.board").filtered([], chosen)


def test_a_row_that_is_sent_in_is_shown_as_submitted(space: Import, board: Any, place: Path) -> None:
    submitted = space("handlers.submitted")
    row = submitted.checked_row(to_json(make_row("scrub", score=0.99)))
    (line,) = board.lines(submitted=[row])
    assert line.words[0] == line.words[-1] == "submitted"
    assert submitted.sent_in([submitted.as_text(row)]) == [row]
    assert board.row_summary(row)["score"] == pytest.approx(0.99)


def _spoiled(**changes: Any) -> str:
    return json.dumps({**json.loads(to_json(make_row())), **changes})


def _better(**values: float) -> str:
    """Return a row with other values of metrics."""
    row = json.loads(to_json(make_row()))
    metrics = row["metrics"] | {name: {"value": value, "n": 60, "retrained": 0.5} for name, value in values.items()}
    return json.dumps({**row, "metrics": metrics})


@pytest.mark.parametrize("sent", [
    None, 5, "", "{}", "[]", "null", "{" * 50_000, "[" * 50_000, '{"a":' * 20_000, "x" * 300_000, _spoiled(score=1),
    _spoiled(task="../etc"), _spoiled(task=EVIL), _spoiled(method=EVIL), _spoiled(run_id="../../x"),
    _spoiled(base_seed=77), _spoiled(interval=None), _spoiled(schema_version=2), _spoiled(backbone="nope"),
    _spoiled(family=EVIL), _spoiled(arguments={"p": "/etc/passwd"}), _spoiled(metrics={}), _spoiled(ratio=400),
    _spoiled(cost={"seconds": 1.0, "passes_share": 5e-324}), _spoiled(task="tofu"), _better(score=5.0),
    _better(score=-1e308), _better(row=1e308), _better(utility=-1.0), _better(invented=0.5),
    _spoiled(cost={"seconds": 1.0, "passes_share": 1e308}), _spoiled(cost={"seconds": 1.0, "seconds_share": -1.0}),
], ids=lambda sent: repr(sent)[:30])  # fmt: skip
def test_a_row_that_is_none_is_refused_in_one_short_line(space: Import, sent: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|must") as caught:
        space("handlers.submitted").checked_row(sent)
    assert len(str(caught.value)) < 1000 and "\n" not in str(caught.value)


def test_names_from_rows_are_words_and_no_markup(space: Import) -> None:
    charts, points, tables = (space(f"charts.{name}") for name in ("lines", "scatter", "tables"))
    mark = points.Mark(1, 1, EVIL, "mu-run", label=True)
    pages = [
        tables.table([(EVIL, EVIL)], [[EVIL]], label=EVIL),
        points.scatter([mark], (EVIL, EVIL), key={EVIL: "mu-run"}),
        tables.bars({EVIL: {EVIL: (0.5, EVIL)}}, {EVIL: "mu-run"}),
        charts.curves({EVIL: ("mu-run", [(0, 1), (1, math.nan), (2, 3)])}, (EVIL, EVIL)),
        space("handlers.media").text(EVIL, [EVIL]),
    ]
    assert not [page for page in pages if "img" in whole(page)]


def test_an_attack_by_threshold_is_counted(space: Import, place: Path) -> None:
    outcome = space("handlers.outcome")
    name = made_up()
    found = outcome.attack(space("handlers.runs").finished(name), 0.1)
    assert found["this run"] == {"forget": 0.5, "test": 0.4, "advantage": pytest.approx(0.1)}
    assert found["base"]["forget"] == 1
    assert {"svg", "table"} <= set(whole(outcome.attack_shown(name, "this run", 0.1)))
    for at in (-1, math.nan, "x", None, 1e300):
        with pytest.raises(ValueError, match="threshold must be"):
            outcome.attack_shown(name, "this run", at)
    with pytest.raises(ValueError, match="model must be one of"):
        outcome.attack_shown(name, "theirs", 0.1)


def test_a_finished_run_is_shown_and_taken_home(space: Import, place: Path) -> None:
    runs, outcome, try_out = space("handlers.runs"), space("handlers.outcome"), space("handlers.try_out")
    ids = space("handlers.explore").config("canonical", "cifar10", "5")
    ids = space("handlers.gallery").splits(ids.info, 5)["forget"]["example_id"][:14]
    name = made_up(score=0.7, ids=ids)
    run = runs.finished(name)
    assert try_out.verdict(run).startswith("S = 0.70")
    assert "0.550 (0.50 to 0.60)" in outcome.score_bars(run)
    assert "50%" in outcome.cost_shown(run)
    for page in (outcome.score_bars(run), outcome.metrics_shown(run), outcome.training_curve(run.points)):
        whole(page)
    gallery = outcome.rows_shown(name, "most changed")
    assert gallery.count("<figure") == 12
    assert gallery.index(ids[13]) < gallery.index(ids[3]) and ids[1] not in gallery
    whole(gallery)
    with pytest.raises(ValueError, match="data that were built anew"):
        outcome.rows_shown(made_up(ids=["no row"]))
    with zipfile.ZipFile(runs.model_file(name)) as archive:
        assert archive.namelist() == ["m/config.json"]
    assert json.loads(runs.row_file(name).read_text())["method"] == "scrub"


def test_drawings_stand_side_by_side_where_models_draw(space: Import, place: Path) -> None:
    gallery, explore = space("handlers.gallery"), space("handlers.explore")
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    said = {"said": EVIL, "score": 1.0, "loss": 0.1}
    drawn = {**said, "drawn": base64.b64encode(buffer.getvalue()).decode()}
    info = explore.config("canonical", "cifar10", "5").info
    plain = gallery.cards(info, 5, "forget", [0], [{"base": said, "unlearned": said}])
    assert "mu-drawn" not in plain and whole(plain).count("img") == 1
    shown = gallery.cards(info, 5, "forget", [0], [{"base": drawn, "unlearned": drawn, "retrained": drawn}])
    assert whole(shown).count("img") == 1 + 3
    assert re.findall(r"drawn by the (\w+) model", shown) == ["base", "unlearned", "retrained"]


@pytest.mark.parametrize("name", ["", "..", "../runs", "/etc", "0" * 24, "0" * 23, None, 5, ["a"]])
def test_a_run_that_is_not_there_is_refused(space: Import, place: Path, name: Any) -> None:
    with pytest.raises(ValueError, match=r"run must be|expected a finished run"):
        space("handlers.runs").finished(name)
    for asked in (space("handlers.try_out").status, space("handlers.try_out").cancel):
        with pytest.raises(ValueError, match=r"run must be|expected a run of this server"):
            asked(name)


def test_the_oldest_runs_make_place(space: Import, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = space("handlers.runs")
    names = [made_up(seed=seed) for seed in range(3)]
    monkeypatch.setattr(runs, "MOST_KEPT", 2)
    runs.tidy()
    assert len([path for path in Path("runs").iterdir() if path.name in names]) == 2


def test_a_run_that_starts_meanwhile_is_not_tidied_away(space: Import, place: Path) -> None:
    def running() -> tuple[str, ...]:
        Path("runs", "fresh").mkdir()
        return ()

    Path("runs", "left").mkdir(parents=True)
    space("handlers.runs").tidy(running)
    assert [path.name for path in Path("runs").iterdir()] == ["fresh"]


def test_a_browser_asks_for_so_many_runs_and_no_more(space: Import, place: Path) -> None:
    runs, name = space("handlers.runs"), made_up()
    assert len(runs.known([name] * 99)) == runs.REMEMBERED


def test_runs_are_compared_with_each_other_and_the_retrained(space: Import, place: Path) -> None:
    compare = space("handlers.compare")
    names = [made_up(score=0.1 * i, seed=i) for i in range(1, 5)]
    found = compare.chosen_runs(names)
    head, lines = compare.numbers(found)
    assert [name for name, _ in head] == ["number", "A", "B", "C", "D"]
    assert lines[0][1].startswith("0.10 (") and lines[1][1:] == ["0.100", "0.200", "0.300", "0.400"]
    cloud = compare.cloud(found)
    assert cloud.count("<circle") == 2 + 1 + 4
    for page in (cloud, compare.steps(found, "forget"), compare.numbers_shown(found)):
        whole(page)
    for wrong, got in (([], "got 0"), ([*names, names[0]], "got 5"), (None, "None"), ("x", "'x'"), ([5], "got 5")):
        with pytest.raises(ValueError, match=f"must be.*{got}"):
            compare.chosen_runs(wrong)


def test_the_data_are_counted_weighed_and_shown(space: Import, place: Path) -> None:
    explore = space("handlers.explore")
    found = explore.config("canonical", "imdb", "5")
    assert found.counts == {"forget": 60, "retain": 1140, "validation": 200, "test": 400, "ood": 400}
    assert sum(each["forget"] for each in found.balance.values()) == 60
    assert 'load_dataset("mu-bench", "imdb_del5")' in found.code
    for page in (explore.words(found), explore.counts_shown(found), explore.balance_shown(found)):
        whole(page)
    assert explore.samples_shown(found, "ood", 34).count("<figure") == 4
    told = explore.samples(found, "ood", 34)
    assert len(told) == 4 and told[0].keys() == {"example_id", "label", "text"}
    assert {row["label"] for row in told} <= set(found.info.labels)
    assert all(row["example_id"] in explore.samples_shown(found, "ood", 34) for row in told)
    plain = explore.config("canonical", "imdb", 0)
    assert plain.counts == {"train": 1200, "validation": 200, "test": 400, "ood": 400}
    assert sum(each["train"] for each in plain.balance.values()) == 1200
    assert '"imdb")' in plain.code and 'ds["train"]' in plain.code
    assert explore.samples_shown(plain, "train", 100).count("<figure") == 12
    group = explore.config("group", "ddi2013", "5")
    assert 'load_dataset("mu-bench-group", "ddi2013_del5")' in group.code
    assert explore.narrowed("group", "imdb", "99")["chosen"] == {"family": "group", "task": "ddi2013", "ratio": "5"}


@pytest.mark.parametrize(("state", "before", "points", "told"), [
    ("waiting", 1, [], "In the queue: 1 run is before yours."),
    ("waiting", 3, [], "In the queue: 3 runs are before yours."),
    ("running", 0, [], "getting ready"),
    ("running", 0, [{"stage": "training", "step": 1, "steps": 4, "forget": 0.5, "retain": 0.25, "seconds": 2}],
     "training, step 1 of 4, loss on forget rows 0.500, loss on retain rows 0.250, 2.0 s"),
    ("running", 0, [{"stage": "retrained model of seed 0", "done": 1, "of": 4}],
     "retrained model of seed 0 (2 of 4 models)"),
    ("finished", 0, [], "Done."), ("cancelled", 0, [], "Ended: why &lt;b&gt;."),
    ("failed", 0, [], "Failed: why &lt;b&gt;."),
])  # fmt: skip
def test_a_job_tells_its_place_its_steps_and_its_end(
    space: Import, state: str, before: int, points: list[dict[str, Any]], told: str
) -> None:
    status = space("handlers.try_out").Status(
        run="r", state=state, before=before, point=points[-1] if points else {}, points=points, error="why <b>"
    )
    page = space("charts.progress").progress_shown(status)
    whole(page)
    assert f'role="status">{told}<' in page
    assert ('value="0.250"' in page) == (told.count("step 1 of 4") == 1)


@pytest.mark.parametrize("chosen", [
    ("nope", "imdb", "5"), ("canonical", "nope", "5"), ("group", "imdb", "5"), ("canonical", "imdb", "11"),
    ("canonical", "imdb", "../x"), (None, None, None), ("canonical", "imdb", True),
])  # fmt: skip
def test_data_that_are_not_there_are_refused(space: Import, place: Path, chosen: Any) -> None:
    with pytest.raises(ValueError, match="must be one of"):
        space("handlers.explore").config(*chosen)


@pytest.mark.parametrize(("split", "page"), [("train", 1), ("forget", 0), ("forget", 6), ("forget", 1.5), (None, 1)])
def test_pages_that_are_not_there_are_refused(space: Import, place: Path, split: Any, page: Any) -> None:
    explore = space("handlers.explore")
    with pytest.raises(ValueError, match="must be"):
        explore.samples_shown(explore.config("canonical", "imdb", "5"), split, page)
    with pytest.raises(ValueError, match="must be"):
        explore.samples(explore.config("canonical", "imdb", "5"), split, page)
