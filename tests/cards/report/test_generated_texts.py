"""The card of an unlearned language model shows what base, unlearned and retrained model generate for forget rows."""

from dataclasses import replace

import numpy as np
import pytest

from mubench.cards.folders import write_model_card
from mubench.cards.report.generated_texts import ROWS, generated_texts
from mubench.hub_builders.hub.model_folder import read_runs
from mubench.trainers.inference.storage import write_outputs
from tests.trainers.metrics.test_written_metrics import written

PLACE = {"task": "tofu", "backbone": "llama"}


def outputs_of(name):
    """Outputs of six rows whose generated texts have the model's name; rows 1 to 5 have sampled texts, too."""
    one = written([[True, False]] * 6)
    sampled = one.answers.sampled.copy()
    sampled[0] = None
    generated = np.array([f"{name} | {i}\n<b>" for i in range(6)], dtype=object)
    return replace(one, answers=replace(one.answers, sampled=sampled, generated=generated))


@pytest.fixture
def models(tmp_path, new_run):
    """Folders of a base, an unlearned, a retrained model, and one that was retrained without other rows."""
    base = new_run(method=None, ratio=None, seed=None, parent=None, arguments={}, **PLACE)
    retrained = {"method": "retrain", "seed": None, "parent": None, "arguments": {}, **PLACE}
    runs = {
        "base": base,
        "unlearned": new_run(parent=base.identity, **PLACE),
        "a-retrained": new_run(**retrained, ratio=10),
        "retrained": new_run(**retrained),
    }
    for name, run in runs.items():
        (tmp_path / name).mkdir()
        run.write(tmp_path / name)
        splits = dict.fromkeys(("validation", "test"), written([[True]])) | {"train": outputs_of(name)}
        write_outputs(tmp_path / name / "reference", splits)
    return tmp_path


def test_rows_of_every_forget_set_are_shown_with_the_texts_of_three_models(models):
    found = generated_texts(models / "unlearned", read_runs(models))
    assert [row.example_id for row in found] == [f"row-{i}" for i in range(1, 1 + ROWS)]
    names = ("base", "unlearned", "retrained")
    assert found[0].texts == {name: f"{name} | 1\n<b>" for name in names}
    card = write_model_card(models / "unlearned", []).read_text()
    assert "| row | true answer | base | unlearned | retrained |\n| --- | --- | --- | --- | --- |\n| row-1 |" in card
    line = next(one for one in card.splitlines() if one.startswith("| row-1 |"))
    assert line.count("|") == 6 and "the cat sat down" in line and "<b>" not in line


@pytest.mark.parametrize("name", ["base", "retrained"])
def test_a_model_that_was_not_unlearned_shows_none(models, name):
    assert generated_texts(models / name, read_runs(models)) == []
    assert "Generated texts" not in write_model_card(models / name, []).read_text()


def test_without_a_retrained_model_its_column_is_left_out(models):
    runs = {path: run for path, run in read_runs(models).items() if path.name != "retrained"}
    assert [*generated_texts(models / "unlearned", runs)[0].texts] == ["base", "unlearned"]


def test_damaged_outputs_name_the_command_that_makes_them_anew(models):
    (models / "base" / "reference" / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"make it anew with: mubench base --task tofu"):
        generated_texts(models / "unlearned", read_runs(models))
