"""What a model reports to the leaderboard of its dataset on the Hub, and what an unmodified client reads of it."""

import numpy as np
import pytest
import yaml
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from mubench.cards.eval_results import is_reported, report
from mubench.cards.folders import write_dataset_card, write_model_card, write_model_cards
from mubench.hub_builders.dataset.boards import BOARDS_FILE, REPORT_FILE, check_report
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.hub.push import publish
from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.inference.storage import write_outputs
from mubench.trainers.metrics.score import SCORE_VERSION
from tests.cards.conftest import make_row, make_run
from tests.fixtures.data import hub, hub_server, small  # noqa: F401  (fixtures)

BOARD = "imdb_del5_bert"
DATASET = "mu-bench/mu-bench-mini"
IMDB = {"task": "imdb", "backbone": "bert"}


def new_row(**changes):
    return make_row(**{"score_version": SCORE_VERSION, **changes})


def write_model(models, name, run):
    """Write a model folder of a run with weights and outputs, as far as cards and pushes read them."""
    folder = models / name
    (folder / "reference").mkdir(parents=True)
    run.write(folder)
    (folder / "model.safetensors").write_text("weights")
    outputs = ClassOutputs(np.array(["a", "b"]), np.array([[1, 0], [1, 0]], dtype=np.float32), np.array([0, 1]))
    write_outputs(folder / "reference", dict.fromkeys(("validation", "test"), outputs))


@pytest.fixture
def judged(tmp_path):
    """A base model, two unlearned ones whose rows rank, and one without a row; return their folder and the rows."""
    rows = []
    base = make_run(**IMDB, method=None, ratio=None, seed=None, parent=None, arguments={})
    write_model(tmp_path / "models", "imdb-mini-bert", base)
    for seed, score in ((0, 0.4), (1, 0.7), (2, None)):
        run = make_run(**IMDB, seed=seed, parent=base.identity)
        write_model(tmp_path / "models", f"imdb-mini-bert-del5-scrub-s{seed}", run)
        if score is not None:
            rows.append(new_row(**IMDB, seed=seed, score=score, identity=run.identity))
    return tmp_path / "models", rows


def test_cards_write_the_report_of_a_model_whose_row_ranks(judged):
    models, rows = judged
    assert len(write_model_cards(models, rows)) == 4
    there = {path.parent.parent.name: path for path in models.glob(f"*/{REPORT_FILE}")}
    assert set(there) == {"imdb-mini-bert-del5-scrub-s0", "imdb-mini-bert-del5-scrub-s1"}
    (entry,) = yaml.safe_load(there["imdb-mini-bert-del5-scrub-s1"].read_text())
    assert entry["dataset"] == {"id": "NAMESPACE/mu-bench-mini", "task_id": BOARD} and entry["value"] == 0.7
    words = "score version 2; 95 % interval 0.70 to 0.70; 3 retrained models and 2 base seeds; provisional"
    assert words in entry["notes"]


def test_a_report_goes_when_its_row_no_longer_ranks(judged):
    models, (row, _) = judged
    folder = models / "imdb-mini-bert-del5-scrub-s0"
    write_model_card(folder, [row])
    assert (folder / REPORT_FILE).is_file()
    write_model_card(folder, [row.model_copy(update={"flags": ["equals_base"]})])
    assert not (folder / REPORT_FILE).exists()


@pytest.mark.parametrize(
    "change",
    [
        {"flags": ["nan"]},
        {"no_signal": "no signal: because"},
        {"control": True},
        {"eval_seed": 1},
        {"outputs_only": True},
        {"score_version": 1},
    ],
)
def test_rows_that_do_not_rank_report_nothing(change):
    assert is_reported(new_row()) and not is_reported(new_row(**change))
    with pytest.raises(ValueError, match="expected a row that is reported, got 'scrub-b0-s0'"):
        report(new_row(**change))


def test_a_report_is_checked_against_its_board():
    text = report(new_row(**IMDB)).replace("NAMESPACE", "mu-bench")
    check_report(text, DATASET, BOARD)
    for wrong in (text.replace("0.8", "8"), text.replace("imdb", "cifar10"), "[]", "a: [", text + text):
        with pytest.raises(ValueError, match=r"^expected .* in \.eval_results/mu-bench\.yaml, got another"):
            check_report(wrong, DATASET, BOARD)


@pytest.mark.slow  # eight pushes
def test_an_unmodified_client_reads_the_leaderboard_of_pushed_models(hub, judged, small):  # noqa: F811
    models, rows = judged
    data = build("imdb", out=models.parent)
    publish(data)
    with pytest.raises(HfHubHTTPError, match="has no leaderboard"):
        HfApi().get_dataset_leaderboard(DATASET)
    write_dataset_card(data)
    write_model_cards(models, rows)
    boards = yaml.safe_load((data / BOARDS_FILE).read_text())
    assert {"id": BOARD, "config": "imdb_del5", "split": "forget"} in boards["tasks"]
    for folder in (data, *sorted(models.iterdir())):
        publish(folder)
    assert HfApi().get_dataset_leaderboard(DATASET) == []
    entries = HfApi().get_dataset_leaderboard(DATASET, base_model_only=False)
    assert [(one.rank, one.model_id, one.value) for one in entries] == [
        (1, "mu-bench/imdb-mini-bert-del5-scrub-s1", 0.7),
        (2, "mu-bench/imdb-mini-bert-del5-scrub-s0", 0.4),
    ]
    assert entries[0].filename == REPORT_FILE and entries[0].notes.startswith("imdb, 5 % deleted, bert; scrub")
    (own,) = HfApi().model_info(entries[0].model_id, expand=["evalResults"]).eval_results
    assert (own.dataset_id, own.task_id, own.value) == (DATASET, BOARD, 0.7)
    card = hub.dataset(DATASET).head.files["README.md"].data.decode()
    assert f'get_dataset_leaderboard("{DATASET}", base_model_only=False)' in card
    assert not publish(models / "imdb-mini-bert-del5-scrub-s0").plan


def test_a_base_model_that_reports_is_not_pushed(hub, judged):  # noqa: F811
    folder = judged[0] / "imdb-mini-bert"
    (folder / REPORT_FILE).parent.mkdir()
    (folder / REPORT_FILE).write_text(report(new_row(**IMDB)))
    with pytest.raises(ValueError, match="expected no report of a base model, got "):
        publish(folder)
    assert not hub.repositories


def test_a_report_to_another_leaderboard_is_not_pushed(hub, judged):  # noqa: F811
    models, rows = judged
    folder = models / "imdb-mini-bert-del5-scrub-s0"
    write_model_card(folder, rows)
    path = folder / REPORT_FILE
    path.write_text(path.read_text().replace("NAMESPACE/mu-bench-mini", "cais/hle"))
    with pytest.raises(ValueError, match=r"expected one value in .* for imdb_del5_bert of mu-bench/mu-bench-mini"):
        publish(folder)
    assert not hub.repositories
