import json

import numpy as np
import pytest

from mubench.cards.__main__ import main
from mubench.cards.folders import write_model_card
from mubench.hub_builders.dataset.manifest import MANIFEST
from mubench.hub_builders.dataset.readme import write_readme
from mubench.hub_builders.hub.model_folder import read_run
from mubench.hub_builders.hub.push import LICENCES_HEADING
from mubench.hub_builders.tasks.names import fingerprint
from mubench.trainers.evaluation.result import References, write_result
from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.inference.storage import write_outputs

SPLITS = ("train", "validation", "test")
SWEEP = "mubench sweep --task cifar10 --methods scrub"


@pytest.fixture
def walk(tmp_path, demo_rows, new_run, new_row, monkeypatch):
    """A folder with a base model, an unlearned model and result rows."""
    monkeypatch.chdir(tmp_path)
    base = new_run(method=None, ratio=None, seed=None, parent=None, arguments={})
    run = new_run(parent=base.identity)
    one = ClassOutputs(np.array(["a", "b"]), np.array([[1, 0], [1, 0]], dtype=np.float32), np.array([0, 1]))
    for name, which in (("cifar10-mini-resnet", base), ("cifar10-mini-resnet-del5-scrub-s0", run)):
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        which.write(folder)
        write_outputs(folder / "reference", dict.fromkeys(SPLITS, one))
    for row in demo_rows:
        write_result(
            row.model_copy(update={"identity": run.identity} if row.run_id == "scrub-b0-s0" else {}), "results"
        )
    return tmp_path


def test_cards_of_models_and_results_are_written(walk, capsys):
    assert main([]) == 0
    output = capsys.readouterr().out
    assert "mu-bench: nothing there yet" in output and "models: 2 card(s)" in output and "results: 1 card(s)" in output
    base = (walk / "models" / "cifar10-mini-resnet" / "README.md").read_text()
    unlearned = (walk / "models" / "cifar10-mini-resnet-del5-scrub-s0" / "README.md").read_text()
    assert "| task score on test rows (weak) | 0.500 |" in base and "base_model: " not in base
    assert "base_model: cifar10-mini-resnet\n" in unlearned and "arXiv:" in unlearned and "| 0.800 |" in unlearned
    assert "leaderboard.png" in (walk / "results" / "README.md").read_text()
    assert (walk / "results" / "leaderboard.png").stat().st_size > 10_000
    assert main([]) == 0  # the picture and the card beside the rows are not read as rows


def test_a_damaged_model_folder_has_no_card_and_blocks_no_other(walk, capsys):
    folder = walk / "models" / "cifar10-mini-resnet"
    (folder / "run.json").write_text("{")
    assert main([]) == 0
    assert "models: 1 card(s)" in capsys.readouterr().out and not (folder / "README.md").exists()
    with pytest.raises(ValueError, match="cifar10-mini-resnet and start its command again"):
        write_model_card(folder, [])


def test_the_row_of_other_outputs_is_not_on_a_models_card(walk, new_row, capsys):
    folder = walk / "models" / "cifar10-mini-resnet-del5-scrub-s0"
    one = ClassOutputs(np.array(["a", "b"]), np.array([[1, 0], [1, 0]], dtype=np.float32), np.array([0, 1]))
    run = read_run(folder).finished(outputs=write_outputs(folder / "reference", dict.fromkeys(SPLITS, one)))
    run.write(folder)
    for outputs, shown in ((fingerprint(run.outputs), "| 0.800 |"), ("0" * 64, "| 0.500 |")):
        write_result(new_row(base_seed=0, identity=run.identity, outputs=outputs), "results")
        assert main([]) == 0
        assert shown in (folder / "README.md").read_text()
    (folder / "reference" / "test.parquet").write_bytes(b"PAR1")
    assert main([]) == 2
    message = capsys.readouterr().err
    assert "make it anew with: mubench scrub --task cifar10" in message and message.count("\n") == 1


def built(folder, task="imdb", **changes):
    """Write what a build writes, without rows; return the YAML of its README."""
    manifest = {
        "task": task, "tier": "mini", "family": "canonical", "deletion_seed": 0, "files": "fe" * 32,
        "split": "0d" * 32, "counts": {"train": 4, "validation": 2, "test": 2}, "bytes": {}, "command": "build",
        "forget": dict.fromkeys(range(1, 11), 1),
        "labels": ["0", "1"],
        "shards": {"train": ["train-d01.parquet"], "validation": ["validation.parquet"], "test": ["test.parquet"]},
        **changes,
    }  # fmt: skip
    target = folder / "data" / task / ("fe" * 4)
    target.mkdir(parents=True)
    (target / MANIFEST).write_text(json.dumps(manifest))
    return write_readme(folder, manifests=[manifest]).read_text().split("---\n")[1]


def test_dataset_card_keeps_the_yaml_of_build(walk):
    before = built(walk / "mu-bench")
    assert main(["--data", "mu-bench"]) == 0
    _, head, body = (walk / "mu-bench" / "README.md").read_text().split("---\n", 2)
    assert head == before and 'load_dataset("mu-bench", "imdb_del5")' in body


def test_every_family_built_beside_the_data_gets_its_card(walk, capsys):
    sisters = {"mu-bench-group": {"family": "group"}, "mu-bench-group-d2": {"family": "group", "deletion_seed": 2},
               "mu-bench-custom": {"family": "custom"}, "mu-bench-d1": {"deletion_seed": 1}}  # fmt: skip
    for name, changes in {**sisters, "mu-bench-mini": {}, "others": {}}.items():
        built(walk / name, **changes)
    (walk / "mu-bench-paper").mkdir()  # empty
    assert main([]) == 0
    output = capsys.readouterr().out
    assert "mu-bench: nothing there yet, no card\n" in output and "mu-bench-paper" not in output
    for name in sisters:
        assert f"{name}: 1 card(s)\n" in output and LICENCES_HEADING in (walk / name / "README.md").read_text()
    for name in ("mu-bench-mini", "others"):
        assert f"{name}: " not in output and LICENCES_HEADING not in (walk / name / "README.md").read_text()
    assert main(["--data", "others"]) == 0
    assert "group" not in capsys.readouterr().out and LICENCES_HEADING in (walk / "others" / "README.md").read_text()


def test_a_picture_of_another_tier_is_removed(walk):
    built(walk / "mu-bench", "cifar10", tier="partial")
    for name in ("cifar10.png", "mine.png"):
        (walk / "mu-bench" / name).write_bytes(b"of the mini tier")
    assert main([]) == 0
    assert [path.name for path in (walk / "mu-bench").glob("*.png")] == ["mine.png"]


def test_leaderboard_is_printed(walk, capsys):
    assert main(["leaderboard", "--results", "results"]) == 0
    output = capsys.readouterr().out
    assert (
        output.index("salun")
        < output.index("finetune")
        < output.index("controls (unranked)")
        < output.index("flip_cheat")
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["leaderboard", "--results", "nowhere"], "expected result rows in nowhere, got none"),
        (["--data", "no", "--models", "no", "--results", "no"], f"then {SWEEP} --models no --results no\n"),
        (
            ["--data", "no/mu-bench", "--models", "no"],
            f"build cifar10 --out no, then {SWEEP} --data no/mu-bench --models no\n",
        ),
        (["leaderboard", "--results", "no"], f"build cifar10, then {SWEEP} --results no\n"),
        (["leaderboard", "--data", "a/mu-bench"], f"build cifar10 --out a, then {SWEEP} --data a/mu-bench\n"),
        (["leaderbord"], "invalid choice"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    output = capsys.readouterr().err
    assert code == 2 and message in output and output.count("\n") == 1


def test_a_damaged_row_is_named(walk, capsys):
    path = walk / "results" / "scrub-b0-s0.json"
    path.write_text(path.read_text()[:100])
    assert main([]) == 2
    output = capsys.readouterr().err
    assert "scrub-b0-s0.json" in output and output.count("\n") == 1


@pytest.mark.parametrize("what", ["all", "leaderboard"])
def test_rows_of_other_references_name_the_command_that_judges_them_again(walk, new_row, what, capsys):
    write_result(new_row("salun", seed=9, run_id="odd", references=References(retrained=[7, 8], bases=[0])), "results")
    assert main([what, "--data", "a/mu-bench", "--models", "models/", "--results", f"{walk}/results"]) == 2
    output = capsys.readouterr().err
    assert f"--backbone resnet --data a/mu-bench --results {walk}/results, or remove the row" in output


def test_rows_of_other_tasks_than_the_chosen_ones_are_not_compared(walk, new_row, capsys):
    write_result(new_row("salun", seed=9, run_id="odd", references=References(retrained=[7, 8], bases=[0])), "results")
    write_result(new_row("scrub", task="imdb", run_id="imdb"), "results")
    assert main(["leaderboard", "--task", "imdb"]) == 0
    output = capsys.readouterr().out
    assert "imdb (mini)" in output and "cifar10" not in output
    assert main(["leaderboard", "--task", "imbd"]) == 2
    assert "expected tasks with rows, cifar10, imdb, got 'imbd'; did you mean 'imdb'?" in capsys.readouterr().err
