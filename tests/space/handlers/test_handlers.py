"""The leaderboard, comparisons, data and finished runs as HTML, on synthetic rows and runs."""

import ast
import base64
import dataclasses
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

import numpy as np
import pytest
from PIL import Image

from mubench.cards.leaderboard import tables
from mubench.cards.leaderboard.entries import make_entry
from mubench.cards.leaderboard.table import CurvePoint
from mubench.trainers.evaluation.result import to_json, write_result
from tests.cards.conftest import make_row
from tests.space.conftest import SPACE, Import, write_run
from tests.trainers.metrics.test_written_metrics import written

EVIL = '<img src=x onerror="alert(1)">'


class Tags(HTMLParser):
    """Collects the tags of a page, and those that are not closed."""

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


def check_html(page: str) -> list[str]:
    tags = Tags(page)
    assert not tags.open
    assert not re.search(r"\b(nan|None)\b", page.replace("[nan]", ""))  # a flag
    return tags.seen


def test_folders_of_the_space_import_downwards_and_only_tabs_import_gradio() -> None:
    order = ("jobs", "charts", "handlers", "tabs")
    for path in [path for folder in order for path in SPACE.glob(f"{folder}/*.py")]:
        tree = ast.parse(path.read_text())
        names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        above = {"app", "api", "page", *order[order.index(path.parent.name) + 1 :]}
        above |= {"jobs"} if path.parent.name == "charts" else set()
        above |= set() if path.parent.name == "tabs" else {"gradio"}
        assert not above & {name.split(".")[0] for name in names}, path


@pytest.fixture
def board(space: Import, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the leaderboard of a suite that ships no rows."""
    found = space("handlers.board")
    monkeypatch.setattr(found, "shipped_tables", tuple)
    return found


def test_the_leaderboard_has_ranks_ties_controls_and_own_runs(
    space: Import, board: Any, root: Path, demo_rows: Any
) -> None:
    frame = space("handlers.board_tables")
    assert board.board_lines() == [] and frame.frame([]) == []
    for row in demo_rows:
        write_result(row, root / "results")
    own = write_run(score=0.6)
    lines = board.board_lines([own, "0" * 24, "../etc", 5])
    cells = [line.cells for line in lines]
    assert [line[:2] for line in cells if line[-1] == "here"][:3] == [
        ("=1*", "salun"), ("=1*", "scrub"), ("3*", "finetune"),
    ]  # fmt: skip
    assert [line[0] for line in cells].count("yours") == 1 and {line[0] for line in cells[-5:]} == {"control"}
    assert [line.origin for line in board.filter_keeping_own(lines, {"task": ["imdb"]})] == ["yours"]
    assert {line.origin for line in board.filter_keeping_own(lines, {"origin": ["here"]})} == {"here"}
    assert {len(line) for line in cells} == {len(board.HEAD)}
    only = board.filter_lines(lines, {"method": ["scrub"], "task": ["cifar10"], "tier": []})
    assert {line.row.method for line in only} == {"scrub"} and len(only) == 2
    assert board.filter_lines(lines, {"ratio": ["7"]}) == []
    assert board.filter_lines(lines, {"ratio": ["5", 5], "origin": ["submitted"]}) == []
    with pytest.raises(ValueError, match=r"^ratio must be one of 1, 2, .*, 10, got '70'$"):
        board.filter_lines(lines, {"ratio": ["70"]})
    for page in (board.render_cost(lines), board.render_parts(lines)):
        assert "svg" in check_html(page)
    assert board.filter_choices(lines)["ratio"] == ["5"]
    setting = {"tier": "mini", "task": "cifar10", "backbone": "resnet", "ratio": "5", "family": "canonical"}
    assert board.default_filters(lines) == {name: [setting[name]] if name in setting else [] for name in board.FILTERS}
    real = [dataclasses.replace(lines[0], entry=make_entry("x", [make_row().model_copy(update={"tier": "full"})]))]
    assert board.default_filters([*lines, *real])["tier"] == ["full"]

    # Of tables of one tier, the one with the most different ranks comes first, whatever the order of the tasks.
    def line(task: str, ranks: list[int]) -> Any:
        rows = [make_row().model_copy(update={"tier": "full", "task": task})]
        entries = tuple(dataclasses.replace(make_entry("x", rows), rank=rank) for rank in ranks)
        return board.Line(entries[0], "shipped", table=dataclasses.replace(lines[0].table, entries=entries))

    apart = board.default_filters([*lines, line("cifar10", [1, 1, 1]), line("imdb", [1, 2, 2]), line("tofu", [1, 1])])
    assert apart["task"] == ["imdb"]
    assert set(map(tuple, board.default_filters([]).values())) == {()}


def test_the_table_of_the_leaderboard_has_own_lines_first_papers_numbers_and_drawn_intervals(
    space: Import, board: Any, root: Path, demo_rows: Any
) -> None:
    frame = space("handlers.board_tables")
    for row in demo_rows:
        write_result(row, root / "results")
    own = write_run(score=0.6)
    lines = board.board_lines([own])
    columns = dict(zip(frame.COLUMNS, zip(*frame.frame(lines), strict=True), strict=True))
    assert columns["rank"][0].startswith("yours") and set(columns["rank"][-5:]) == {"control"}
    link, year = columns["method"][0].split("scrub</a> ")
    assert 'href="https://arxiv.org/abs/2302.09880"' in link and year.startswith("2023")
    for name, kind in zip(frame.COLUMNS, frame.DATATYPES, strict=True):
        types = {type(value) for value in columns[name]} - {type(None)}
        assert types == ({float} if kind == "number" else {str}) or not types
    for drawn in columns["95 % interval"][:2]:  # with lines for retrained models, and for half of the forget set kept
        check_html(drawn)
        assert drawn.count("mu-mark") == 2 and "aria-label" in drawn


def test_an_own_line_is_placed_between_the_ranked_ones(space: Import, board: Any, root: Path, demo_rows: Any) -> None:
    frame = space("handlers.board_tables")
    for row in demo_rows:
        write_result(row, root / "results")
    first = demo_rows[0]
    for score, place in ((0.5, ", between scrub and finetune"), (0.9, ", above salun"), (0.1, ", below finetune")):
        own = make_row("mine", score=score, base_seed=0)
        own = own.model_copy(update={name: getattr(first, name) for name in ("task", "tier", "ratio", "backbone")})
        lines = board.board_lines(submitted=[own])
        alone = [line for line in lines if line.origin == "submitted"]
        for shown in (frame.frame(lines), frame.frame(alone, lines)):  # also where a filter leaves it alone
            rank, method = shown[0][:2]
            assert rank == "submitted" and method == f"mine{place}, on cifar10 (mini)"


def test_the_matrix_has_real_data_apart_and_methods_by_mean_rank(
    space: Import, board: Any, root: Path, demo_rows: Any
) -> None:
    matrix = space("handlers.board_tables")
    for row in demo_rows:
        write_result(row, root / "results")
    lines = board.board_lines()
    assert matrix.data_choices(lines) == ["mini tasks"]
    page = matrix.render_matrix(lines, "mini tasks")
    check_html(page)
    assert re.findall(r'<tr><th scope="row">(\w+)', page)[:3] == ["salun", "scrub", "finetune"]
    assert 'data-tier="mini" data-task="cifar10" data-backbone="resnet" data-ratio="5"' in page
    assert page.index("finetune") < page.index('<tr class="mu-control"><th scope="row">retrain')
    assert "<tbody></tbody>" in matrix.render_matrix(lines, "real data")
    with pytest.raises(ValueError, match="data must be one of real data, mini tasks, own tasks, got 'all'"):
        matrix.render_matrix(lines, "all")


def test_shipped_rows_are_ranked_apart_from_those_made_here(
    board: Any, root: Path, demo_rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in demo_rows:
        if row.method != "salun":
            write_result(row, root / "results")
    ships = tuple(tables(demo_rows))
    monkeypatch.setattr(board, "shipped_tables", lambda: ships)
    lines = board.board_lines()
    best = {origin: next(line.cells[:2] for line in lines if line.origin == origin) for origin in board.RANKED}
    assert best == {"shipped": ("=1*", "salun"), "here": ("1*", "scrub")}
    assert board.board_lines()[0].entry is lines[0].entry  # computed once
    old = weakref.ref(next(line for line in lines if line.origin == "here"))
    here = board.filter_lines(lines, {"origin": ["here"]})
    assert {line.origin for line in here} == {"here"} and {line.kind for line in here} == {"control", "here"}
    for changed in (root / "results").glob("*finetune*"):
        changed.unlink()
    del lines, here
    assert not [line for line in board.board_lines() if line.origin == "here" and line.row.method == "finetune"]
    gc.collect()
    assert old() is None  # and released when the files change


def test_the_cost_chart_draws_the_compute_matched_curve_for_lines_of_one_setting(
    board: Any, root: Path, demo_rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (table,) = tables(demo_rows)
    curve = tuple(CurvePoint(passes, 0.9 * passes, np.zeros(1)) for passes in (0.0, 0.05, 1.0))
    monkeypatch.setattr(board, "shipped_tables", lambda: (dataclasses.replace(table, curve=curve),))
    lines = board.board_lines()
    page = board.render_cost(lines)
    check_html(page)
    (path,) = re.findall(r'<polyline class="mu-retrained mu-line" points="([^"]+)">', page)
    heights = [float(point.split(",")[1]) for point in path.split()]
    assert heights == sorted(heights, reverse=True) and heights[0] > heights[-1] + 100  # pixels from the top
    assert board.CURVE in page.split('class="mu-legend"')[1]
    own = board.Line(lines[0].entry, "yours")
    elsewhere = make_entry("x", [lines[0].row.model_copy(update={"split": "f" * 64})])
    assert "polyline" in board.render_cost([*lines, own])
    assert "polyline" not in board.render_cost([*lines, board.Line(elsewhere, "yours")])
    bare = dataclasses.replace(table, curve=())
    other = [dataclasses.replace(line, table=bare) for line in lines]
    assert "polyline" not in board.render_cost(other) + board.render_cost([*lines, *other])


def test_the_error_of_a_damaged_row_names_no_path(space: Import, board: Any, root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "bad.json").write_text("{")
    (root / "results").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="to be a result row") as caught:
        board.board_lines()
    message = space("jobs.errors").error_message(caught.value)
    assert message.startswith("expected a file on the server to be a result row")
    assert "elsewhere" not in message and str(root) not in message


@pytest.mark.parametrize("chosen", [None, [], {"secret": ["x"]}, {"task": "cifar10"}])
def test_filters_are_checked(space: Import, chosen: Any) -> None:
    with pytest.raises(ValueError, match=r"filters must be|name of a filter must be one of tier, task"):
        space("handlers.board").filter_lines([], chosen)


def test_a_valid_row_is_marked_as_submitted(space: Import, board: Any, root: Path) -> None:
    submissions = space("handlers.submissions")
    row = submissions.check_row(to_json(make_row("scrub", score=0.99)))
    (line,) = board.board_lines(submitted=[row])
    assert line.cells[0] == line.cells[-1] == "submitted"
    assert submissions.check_rows([to_json(row)]) == [row]
    assert board.row_summary(row)["score"] == pytest.approx(0.99)


def _changed(**changes: Any) -> str:
    return json.dumps({**json.loads(to_json(make_row())), **changes})


def _with_metrics(**values: float) -> str:
    """Return a row with other values of metrics."""
    row = json.loads(to_json(make_row()))
    metrics = row["metrics"] | {name: {"value": value, "n": 60, "retrained": 0.5} for name, value in values.items()}
    return json.dumps({**row, "metrics": metrics})


@pytest.mark.parametrize("sent", [
    None, 5, "", "{}", "[]", "null", "{" * 50_000, "[" * 50_000, '{"a":' * 20_000, "x" * 300_000, _changed(score=1),
    _changed(task="../etc"), _changed(task=EVIL), _changed(method=EVIL), _changed(run_id="../../x"),
    _changed(base_seed=77), _changed(interval=None), _changed(schema_version=2), _changed(backbone="nope"),
    _changed(family=EVIL), _changed(arguments={"p": "/etc/passwd"}), _changed(metrics={}), _changed(ratio=400),
    _changed(cost={"seconds": 1.0, "passes_share": 5e-324}), _changed(task="tofu"), _with_metrics(score=5.0),
    _with_metrics(score=-1e308), _with_metrics(row=1e308), _with_metrics(utility=-1.0), _with_metrics(invented=0.5),
    _changed(cost={"seconds": 1.0, "passes_share": 1e308}), _changed(cost={"seconds": 1.0, "seconds_share": -1.0}),
], ids=lambda sent: repr(sent)[:30])  # fmt: skip
def test_an_invalid_row_is_refused_in_one_short_line(space: Import, sent: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|must") as caught:
        space("handlers.submissions").check_row(sent)
    assert len(str(caught.value)) < 1000 and "\n" not in str(caught.value)


def test_names_from_rows_are_escaped(space: Import) -> None:
    charts, points, tables = (space(f"charts.{name}") for name in ("lines", "scatter", "tables"))
    mark = points.Mark(1, 1, EVIL, "mu-run", label=True)
    pages = [
        tables.table([(EVIL, EVIL)], [[EVIL]], label=EVIL),
        points.scatter([mark], (EVIL, EVIL), key={EVIL: "mu-run"}, lines={EVIL: ("mu-run", [(0, 1), (1, 2)])}),
        tables.bars({EVIL: {EVIL: (0.5, EVIL)}}, {EVIL: "mu-run"}),
        charts.curves({EVIL: ("mu-run", [(0, 1), (1, math.nan), (2, 3)])}, (EVIL, EVIL)),
        space("charts.media").text(EVIL, [EVIL]),
    ]
    assert not [page for page in pages if "img" in check_html(page)]


def test_chance_bounds_the_advantage_of_an_attack_on_rows_of_one_distribution(space: Import, root: Path) -> None:
    outcome = space("handlers.outcome")
    losses = {"forget": [0.1] * 50 + [0.9] * 50, "test": [0.1] * 200 + [0.9] * 200, "retain": []}
    found = outcome.chance(losses, np.asarray([0.05, 0.5, 1.0]))
    assert found == pytest.approx([0, 1.96 * math.sqrt(0.25 * (1 / 100 + 1 / 400)), 0])
    forget, test = (np.random.default_rng(size).binomial(size, 0.5, 5000) / size for size in (100, 400))
    assert np.mean(np.abs(forget - test) <= found[1]) == pytest.approx(0.95, abs=0.01)
    page = outcome.render_attack(write_run(), "this run", 0.1)
    assert "within chance (95 %)" in page and page.count("<polyline") == 3


def test_an_attack_by_threshold_counts_predicted_members(space: Import, root: Path) -> None:
    outcome = space("handlers.outcome")
    name = write_run()
    found = outcome.attack(space("handlers.runs").finished_run(name), 0.1)
    assert found["this run"] == {"forget": 0.5, "test": 0.4, "advantage": pytest.approx(0.1)}
    assert found["base"]["forget"] == 1
    assert {"svg", "table"} <= set(check_html(outcome.render_attack(name, "this run", 0.1)))
    for at in (-1, math.nan, "x", None, 1e300):
        with pytest.raises(ValueError, match="threshold must be"):
            outcome.render_attack(name, "this run", at)
    with pytest.raises(ValueError, match="model must be one of"):
        outcome.render_attack(name, "theirs", 0.1)


def test_a_verdict_is_a_ruler_with_yardsticks_the_parts_and_the_worst_of_them(
    space: Import, root: Path, demo_rows: list[Any]
) -> None:
    verdict, try_out = space("handlers.verdict"), space("handlers.try_out")
    for row in demo_rows:
        write_result(row, root / "results")
    run = space("handlers.runs").finished_run(write_run(score=0.7))
    other = dataclasses.replace(run, row=demo_rows[0])  # of the setting of these rows
    alone = dataclasses.replace(run, row=demo_rows[0].model_copy(update={"ratio": 9}))
    assert verdict.table_of(alone.row) is None
    page = verdict.render_verdict(other, try_out.verdict(other))
    check_html(page)
    worst, value = verdict.worst_part(demo_rows[0])
    assert value == max(demo_rows[0].metrics[part].value for part in verdict.WORST)
    assert f"The weakest part is {worst}." in page
    assert set(verdict.WORST) <= set(re.findall(r"<dt>(\w+)</dt>", page))
    for mark in ("retrained 0.93", "half of the forget set kept 0.45", "best method (", "retraining at equal cost"):
        assert mark in page
    plain = verdict.render_verdict(alone, try_out.verdict(alone))
    assert "<svg" in plain and "retrained 0.93" not in plain
    unjudged = verdict.render_verdict(dataclasses.replace(run, row=None), "Not judged <b>")
    assert "<svg" not in unjudged and "&lt;b&gt;" in unjudged


def test_labels_of_a_ruler_cover_none_another(space: Import) -> None:
    ruler = space("charts.ruler")
    names = ("retrained", "half of the forget set kept", "best method (scrub)", "retraining at equal cost")
    reading = ruler.Reading("this run", 0.5, 0.4, 0.6, "mu-run")
    page = ruler.ruler([reading], dict.fromkeys(names, 0.51), ends=("0: base", "1: retrained"))
    places = re.findall(r'x="51.0%" y="(\d+)" style="transform:translateX\(-51.0%\)">[a-z(][^<]* 0\.51<', page)
    assert len(places) == len(set(places)) == 4


def test_a_finished_run_is_rendered_and_downloaded(space: Import, root: Path) -> None:
    runs, outcome, try_out = space("handlers.runs"), space("handlers.outcome"), space("handlers.try_out")
    ids = space("handlers.explore").find_config("canonical", "cifar10", "5")
    ids = space("handlers.gallery").splits(ids.info, 5)["forget"]["example_id"][:14]
    name = write_run(score=0.7, ids=ids)
    run = runs.finished_run(name)
    assert try_out.verdict(run).startswith("S = 0.70")
    assert "0.550 (0.50 to 0.60)" in outcome.render_scores(run)
    assert "50%" in outcome.render_cost(run)
    for page in (outcome.render_scores(run), outcome.render_metrics(run), outcome.render_curve(run.points)):
        check_html(page)
    gallery = outcome.render_rows(name)
    assert gallery == outcome.render_rows(name, "most changed") != outcome.render_rows(name, "as deleted")
    assert gallery.count("<figure") == 12
    assert gallery.index(ids[13]) < gallery.index(ids[3]) and ids[1] not in gallery
    check_html(gallery)
    assert outcome.missing_retrained(run) == "" and outcome.orders(run) == list(outcome.ORDERS)
    with pytest.raises(ValueError, match="data that were rebuilt"):
        outcome.render_rows(write_run(ids=["no row"]))
    with zipfile.ZipFile(runs.model_archive(name)) as archive:
        assert archive.namelist() == ["m/config.json"]
    assert json.loads(runs.row_file(name).read_text())["method"] == "scrub"


def test_a_recording_has_a_waveform_and_a_length_and_two_pictures_are_side_by_side(space: Import) -> None:
    media = space("charts.media")
    samples = np.concatenate([np.zeros(8000), np.full(4000, 0.5), np.full(4000, -1.0)]).astype(np.float32)
    page = media.audio_player({"array": samples, "sampling_rate": 16_000}, EVIL)
    check_html(page)
    heights = [float(height) for height in re.findall(r'height="([\d.]+)"/>', page)]
    assert [heights[0], heights[40], heights[-1]] == [media.GAP, media.TALL / 2, media.TALL]
    assert len(heights) == media.BARS and "<small>1.00 s</small>" in page
    picture = media.image(Image.new("RGB", (8, 8)), "left")
    assert media.side_by_side([picture, picture]) == f'<div class="mu-beside">{picture}{picture}</div>'
    assert media.side_by_side([picture]) == picture
    assert "image_pair_classification" in space("handlers.gallery").WIDE


def test_generated_images_are_side_by_side(space: Import, root: Path) -> None:
    gallery, explore = space("handlers.gallery"), space("handlers.explore")
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    plain = {"prediction": EVIL, "score": 1.0, "loss": 0.1}
    with_image = {**plain, "generated_image": base64.b64encode(buffer.getvalue()).decode()}
    info = explore.find_config("canonical", "cifar10", "5").info
    page = gallery.row_cards(info, 5, "forget", [0], [{"base": plain, "unlearned": plain}])
    assert "mu-generated" not in page and check_html(page).count("img") == 1
    models = dict.fromkeys(("base", "unlearned", "retrained"), with_image)
    page = gallery.row_cards(info, 5, "forget", [0], [models])
    assert check_html(page).count("img") == 1 + 3
    assert re.findall(r"generated by the (\w+) model", page) == ["base", "unlearned", "retrained"]


def test_a_generated_text_is_shown_in_place_of_the_most_probable_tokens(space: Import, root: Path) -> None:
    summary, gallery, explore = space("jobs.run_summary"), space("handlers.gallery"), space("handlers.explore")
    outputs = written([[True, False], [True, True]])
    generated = outputs.answers.generated.copy()
    generated[1] = None  # a row beside the chosen ones
    outputs = dataclasses.replace(outputs, answers=dataclasses.replace(outputs.answers, generated=generated))
    rows = [summary.describe_row(outputs, row, lambda *_: EVIL) for row in range(2)]
    assert rows[0]["generated"] == "The cat sat" and "generated" not in rows[1]
    info = explore.find_config("canonical", "cifar10", "5").info
    pages = [gallery.row_cards(info, 5, "forget", [0], [{"unlearned": row}]) for row in rows]
    assert ["writes: The cat sat" in page for page in pages] == [True, False]
    assert all(check_html(page) and EVIL not in page for page in pages)


@pytest.mark.parametrize("name", ["", "..", "../runs", "/etc", "0" * 24, "0" * 23, None, 5, ["a"]])
def test_an_unknown_run_is_refused(space: Import, root: Path, name: Any) -> None:
    with pytest.raises(ValueError, match=r"run must be|expected a finished run"):
        space("handlers.runs").finished_run(name)
    for function in (space("handlers.try_out").status, space("handlers.try_out").cancel):
        with pytest.raises(ValueError, match=r"run must be|expected a run of this server"):
            function(name)


def test_the_oldest_runs_are_removed(space: Import, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = space("handlers.runs")
    names = [write_run(seed=seed) for seed in range(3)]
    monkeypatch.setattr(runs, "MAX_RUNS", 2)
    runs.remove_old_runs()
    assert len([path for path in Path("runs").iterdir() if path.name in names]) == 2


def test_a_run_that_starts_meanwhile_is_kept(space: Import, root: Path) -> None:
    def running() -> tuple[str, ...]:
        Path("runs", "fresh").mkdir()
        return ()

    Path("runs", "left").mkdir(parents=True)
    space("handlers.runs").remove_old_runs(running)
    assert [path.name for path in Path("runs").iterdir()] == ["fresh"]


def test_the_number_of_a_browsers_runs_is_limited(space: Import, root: Path) -> None:
    runs, name = space("handlers.runs"), write_run()
    assert len(runs.existing_runs([name] * 99)) == runs.BROWSER_RUNS


def test_runs_are_compared_with_each_other_and_the_retrained_models(space: Import, root: Path) -> None:
    compare = space("handlers.compare")
    names = [write_run(score=0.1 * i, seed=i) for i in range(1, 5)]
    found = compare.chosen_runs(names)
    lines = compare.numbers(found)
    assert re.findall(">([A-D])</th>", compare.render_numbers(found)) == ["A", "B", "C", "D"]
    assert lines[0][1].startswith("0.10 (") and lines[1][1:] == ["0.100", "0.200", "0.300", "0.400"]
    scores = compare.render_scores(found)
    assert scores.count("<circle") == 2 + 1 + 4
    ruler = compare.render_ruler(found)
    assert [f">{letter} 0." in ruler for letter in "ABCD"] == [True] * 4
    unjudged = [dataclasses.replace(found[0], row=None)]
    assert "None of these runs has an S" in compare.render_ruler(unjudged)
    for page in (ruler, scores, compare.render_losses(found, "forget"), compare.render_numbers(found)):
        check_html(page)
    for wrong, got in (([], "got 0"), ([*names, names[0]], "got 5"), (None, "None"), ("x", "'x'"), ([5], "got 5")):
        with pytest.raises(ValueError, match=f"must be.*{got}"):
            compare.chosen_runs(wrong)


def test_a_config_is_counted_balanced_and_sampled(space: Import, root: Path) -> None:
    explore = space("handlers.explore")
    found = explore.find_config("canonical", "imdb", "5")
    assert found.counts == {"forget": 60, "retain": 1140, "validation": 200, "test": 400, "ood": 400}
    assert sum(each["forget"] for each in found.balance.values()) == 60
    assert 'load_dataset("mu-bench", "imdb_del5")' in found.code
    for page in (explore.render_description(found), explore.render_counts(found), explore.render_balance(found)):
        check_html(page)
    assert explore.render_samples(found, "ood", 34).count("<figure") == 4
    rows = explore.sample_rows(found, "ood", 34)
    assert len(rows) == 4 and rows[0].keys() == {"example_id", "label", "text"}
    assert {row["label"] for row in rows} <= set(found.info.labels)
    assert all(row["example_id"] in explore.render_samples(found, "ood", 34) for row in rows)
    plain = explore.find_config("canonical", "imdb", 0)
    assert plain.counts == {"train": 1200, "validation": 200, "test": 400, "ood": 400}
    assert sum(each["train"] for each in plain.balance.values()) == 1200
    assert '"imdb")' in plain.code and 'ds["train"]' in plain.code
    assert explore.render_samples(plain, "train", 100).count("<figure") == 12
    group = explore.find_config("group", "ddi2013", "5")
    assert 'load_dataset("mu-bench-group", "ddi2013_del5")' in group.code
    chosen = explore.menu_choices("group", "imdb", "99")["chosen"]
    assert chosen == {
        "family": "group",
        "task": "ddi2013",
        "ratio": "10",
    }


@pytest.mark.parametrize(("state", "before", "points", "text"), [
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
def test_the_progress_of_a_job_is_rendered(
    space: Import, state: str, before: int, points: list[dict[str, Any]], text: str
) -> None:
    status = space("handlers.try_out").Status(run="r", state=state, before=before, points=points, error="why <b>")
    page = space("handlers.try_out").render_progress(status)
    check_html(page)
    assert f'role="status">{text}<' in page
    assert ('value="0.250"' in page) == (text.count("step 1 of 4") == 1)


@pytest.mark.parametrize("chosen", [
    ("nope", "imdb", "5"), ("canonical", "nope", "5"), ("group", "imdb", "5"), ("canonical", "imdb", "11"),
    ("canonical", "imdb", "../x"), (None, None, None), ("canonical", "imdb", True),
])  # fmt: skip
def test_an_unknown_config_is_refused(space: Import, root: Path, chosen: Any) -> None:
    with pytest.raises(ValueError, match="must be one of"):
        space("handlers.explore").find_config(*chosen)


@pytest.mark.parametrize(("split", "page"), [("train", 1), ("forget", 0), ("forget", 6), ("forget", 1.5), (None, 1)])
def test_an_unknown_page_is_refused(space: Import, root: Path, split: Any, page: Any) -> None:
    explore = space("handlers.explore")
    with pytest.raises(ValueError, match="must be"):
        explore.render_samples(explore.find_config("canonical", "imdb", "5"), split, page)
    with pytest.raises(ValueError, match="must be"):
        explore.sample_rows(explore.find_config("canonical", "imdb", "5"), split, page)


def test_the_first_screen_shows_four_rows_of_a_task_and_what_they_are(space: Import, root: Path) -> None:
    introduction = space("handlers.introduction")
    check_html(introduction.render_steps())
    assert introduction.render_steps().count("<li>") == 3
    page = introduction.render_task("cifar10", "10")
    check_html(page)
    assert "CIFAR-10, mini tier</b>: scikit-learn" in page
    assert "1,200 training rows, 120 of them to be forgotten, 397 test rows" in page
    forget = space("handlers.gallery").splits(space("handlers.choices").built_task_info("cifar10"), 10)["forget"]
    shown = re.findall(r"<small>(digit-\d+)</small>", page)
    positions = [forget["example_id"].index(one) for one in shown]
    info = space("handlers.choices").built_task_info("cifar10")
    assert positions == sorted(positions) == introduction.sample_rows(info, 10)
    assert len({forget["label"][one] for one in positions}) == 4
    assert positions != [0, 1, 2, 3]  # three of which no retrained model recognises


def test_a_plot_labels_its_pareto_front_alone(space: Import) -> None:
    front = space("charts.scatter").front
    assert front([(-1.0, 0.5), (-2.0, 0.9), (-3.0, 0.8), (-1.0, 0.4)]) == [True, True, False, False]
    assert front([(1.0, 1.0), (1.0, 1.0)]) == [True, True]


def test_a_label_of_a_plot_covers_no_mark_and_no_axis(space: Import) -> None:
    plot = space("charts.scatter")
    names = ("first", "second", "third")
    marks = [plot.Mark(x, 1, name, "mu-run", label=True) for x, name in zip((0, 0.05, 1), names, strict=True)]
    page = plot.scatter(marks, ("x", "y"), y=(0, 1.08))
    circles = [tuple(map(float, one)) for one in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', page)]
    labels = re.findall(r'class="mu-label" x="([\d.]+)" y="([\d.]+)">(\w+)<', page)
    assert {name for *_, name in labels} == {*names} and len(circles) == 3
    for left, base, name in labels:
        right, middle = float(left) + plot.LETTER * len(name), float(base) - 4
        assert float(left) >= plot.LEFT
        assert not [x for x, y in circles if float(left) < x < right and abs(y - middle) < plot.RADIUS]
