"""A stranger's model: it is read or refused in one line, and no code that lies in its folder is run."""

import builtins
import contextlib
import json
import sys

import datasets
import pytest
import transformers

from mubench.trainers.__main__ import main
from mubench.trainers.models.modalities.diffusion import DiffusionModel
from mubench.trainers.models.modalities.pretrained import load_complete, load_tokenizer, read

CLASSES = (
    "AutoConfig", "AutoModelForSequenceClassification", "AutoModelForCausalLM", "AutoTokenizer", "AutoImageProcessor",
    "AutoFeatureExtractor", "VideoMAEImageProcessorPil", "ViltProcessor",
)  # fmt: skip
EVIL = "expected an architecture of transformers, got a model with code of its own, which is never run"


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """Return the file that a stranger's code would write; whoever is asked whether to run it agrees."""
    monkeypatch.setattr(builtins, "input", lambda *_: "y")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    return tmp_path / "marker"


def spoil(folder, marker, **fields):
    """Lay out a repository in which every class is one of its own."""
    folder.mkdir(exist_ok=True)
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Evil:\n    pass\n")
    names = {name: "evil.Evil" for name in CLASSES if name.startswith("Auto")}
    entry = {"auto_map": {**names, "AutoTokenizer": ["evil.Evil", None], "AutoProcessor": "evil.Evil"}, **fields}
    for name in ("config", "preprocessor_config", "processor_config", "tokenizer_config"):
        (folder / f"{name}.json").write_text(json.dumps({"model_type": "evil", **entry}))
    return folder


@pytest.mark.parametrize("name", CLASSES)
def test_code_beside_a_model_is_neither_run_nor_offered(name, tmp_path, marker):
    source = {"pretrained_model_name_or_path": spoil(tmp_path / "model", marker)}
    if name.startswith("Auto"):
        with pytest.raises(ValueError, match=f"^{EVIL}$"):
            read(getattr(transformers, name), **source)
    else:  # a class by its own name reads what it can
        with contextlib.suppress(OSError, ValueError):
            read(getattr(transformers, name), **source)
    assert not marker.exists()


def test_the_code_would_have_run(tmp_path, marker):
    with pytest.raises(Exception):  # noqa: B017, PT011  it is no config
        transformers.AutoConfig.from_pretrained(spoil(tmp_path / "model", marker))
    assert marker.exists()


def test_code_beside_parts_of_a_diffusion_model_and_quantized_ones_is_not_run(tmp_path, marker):
    folder = tmp_path / "model"
    for part in ("", "unet", "vae", "text_encoder", "scheduler", "tokenizer"):
        spoil(folder / part, marker, _class_name="Evil", custom_pipeline="evil.py")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": ["evil", "Evil"], "vae": ["evil", "Evil"]}))
    (folder / "evil.gguf").write_bytes(b"GGUF" * 8)
    with pytest.raises((OSError, ValueError)):
        DiffusionModel.from_pretrained(folder)
    with pytest.raises((OSError, ValueError)):
        load_tokenizer(pretrained_model_name_or_path=folder / "tokenizer")
    for name in ("AutoTokenizer", "AutoModelForCausalLM"):
        with pytest.raises((OSError, ValueError)):
            read(getattr(transformers, name), pretrained_model_name_or_path=folder, gguf_file="evil.gguf")
    assert not marker.exists()


def test_datasets_run_no_script(tmp_path, marker):
    spoil(tmp_path / "rows", marker).joinpath("rows.py").write_text(f"open({str(marker)!r}, 'w').close()")
    with pytest.raises((RuntimeError, ValueError, datasets.exceptions.DatasetsError)):
        datasets.load_dataset(str(tmp_path / "rows"))
    with pytest.raises(RuntimeError, match="scripts are no longer supported"):
        datasets.load_dataset(str(tmp_path / "rows" / "rows.py"))
    assert not marker.exists()


def test_a_command_refuses_such_a_base_model_in_one_line(own_walk, marker, capsys, monkeypatch):
    folder = own_walk.base()
    spoil(folder, marker, id2label={str(label): str(label) for label in range(10)})
    monkeypatch.setattr(sys, "stdin", open("/dev/zero"))  # noqa: PTH123, SIM115
    words = ["scrub", "--task=cifar10", "--ratio=10", "--seed=5", "--judge=false", f"--base_model={folder}"]
    capsys.readouterr()
    assert main([*words, *own_walk.flags()]) == 2
    assert capsys.readouterr() == ("", f"mubench: expected a whole model in {folder}, got: {EVIL}\n")
    assert not marker.exists()


def test_weights_are_read_as_safetensors_alone(tmp_path, monkeypatch):
    import torch  # noqa: PLC0415

    model = transformers.BertForSequenceClassification(
        transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    )
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was read"))
    with pytest.raises(OSError, match="safetensors"):
        load_complete(transformers.AutoModelForSequenceClassification, tmp_path)
