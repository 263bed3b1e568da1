"""A YAML file and data that nobody has prepared become rows of a leaderboard, of several kinds."""

import json

import pytest
from PIL import Image

from mubench.cards.console import main
from mubench.hub_builders import load_task
from mubench.hub_builders.dataset.build import build_own
from mubench.hub_builders.dataset.task_file import read_task_file
from mubench.hub_builders.dataset.task_info import task_info
from mubench.hub_builders.hub.model_folder import read_runs
from mubench.trainers.evaluation.result import read_results
from mubench.trainers.models.model_files import read_foreign
from tests.fixtures.pretrained import known, save_pipeline
from tests.own_data import KEYS, make
from tests.pages import blocks

__all__ = ["known"]

GRID = """
tasks: [{key}]
ratios: [10]
methods: [finetune, {methods}]
base_seeds: [0]
retrain_seeds: [0, 1]
controls: []
workers: 1
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "methods"),
    [
        ("images", ["scrub"]),
        ("texts", ["neg_grad"]),
        pytest.param("speech", ["bad_teaching"], marks=pytest.mark.nightly),
        pytest.param("captions", ["random_label", "esd"], marks=pytest.mark.nightly),
    ],
)
def test_a_yaml_file_leads_to_a_leaderboard(name, methods, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # the default --data is ./mu-bench
    path, key = make(name, tmp_path / name, rows=160), KEYS[name]
    (tmp_path / "grid.yaml").write_text(GRID.format(key=key, methods=", ".join(methods)))
    assert main(["build", "--task_file", str(path)]) == 0
    assert main(["sweep", "grid.yaml"]) == 0
    rows = {row.method: row for row in read_results("results") if not row.control}
    info = task_info(key)
    assert rows.keys() == {"finetune", *methods}
    for row in rows.values():
        assert (row.tier, row.task, row.split) == ("custom", key, info.split)
        assert row.definition.file == info.definition["file"]
        assert row.metrics["gap"].n > 0
    assert all(run.definition["file"] == info.definition["file"] for run in read_runs(tmp_path / "models").values())
    capsys.readouterr()
    assert main(["leaderboard"]) == 0
    board = capsys.readouterr().out
    assert f"{key} (custom), " in board and all(method in board for method in rows)
    assert main(["cards"]) == 0
    card = (tmp_path / "mu-bench" / "README.md").read_text()
    assert f"(`{key}`, custom)" in card and info.definition["file"] in card
    if name == "captions":
        (code,) = blocks((tmp_path / "models" / f"{key}-custom-unet" / "README.md").read_text(), "python")
        exec(compile(code, "example", "exec"), {})
        assert Image.open("image.png").size == (128, 128)
    # The rows say all that a leaderboard needs, wherever they are.
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "results").rename(tmp_path / "elsewhere" / "results")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["leaderboard"]) == 0
    assert capsys.readouterr().out.count(f"{key} (custom), ") == 1
    assert all(
        json.loads(file.read_text())["definition"]["title"] for file in (tmp_path / "elsewhere").rglob("*-s0-*.json")
    )


@pytest.mark.slow
def test_a_pipeline_of_diffusers_is_a_backbone_and_a_base_model(tmp_path, monkeypatch, known):
    monkeypatch.chdir(tmp_path)
    build_own(read_task_file(make("captions", tmp_path / "captions")), out=tmp_path)
    save_pipeline(tmp_path / "tiny", load_task("my_captions", data="mu-bench")["train"]["caption"])
    where = ["--task=my_captions", "--backbone=tiny", "--disable_tqdm=true"]
    for words in (["base"], ["retrain"], ["retrain", "--base_seed=1"], ["esd"], ["finetune", "--base_model=tiny"]):
        assert main([*words, *where]) == 0
    rows = {row.method: row for row in read_results("results") if not row.control}
    (key,) = known
    assert {row.backbone for row in rows.values()} == {key}
    assert (rows["esd"].foreign_base, rows["finetune"].foreign_base) == (None, "StableDiffusionPipeline")
    assert rows["finetune"].parent == read_foreign(tmp_path / "tiny").identity
    assert main(["adopt", "tiny", "--task=my_captions", "--start=tiny"]) == 0
