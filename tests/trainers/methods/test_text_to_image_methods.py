"""Methods on a small diffusion model: all that are defined for it run, and student and teacher get the same noise."""

import datasets
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch.utils.data import Subset

from mubench.trainers.engine.batches import model_inputs
from mubench.trainers.engine.fresh_model import random_copy
from mubench.trainers.engine.losses import squared_error
from mubench.trainers.methods import METHODS
from mubench.trainers.models.modalities import MODALITIES
from mubench.trainers.models.modalities.diffusion import DiffusionModel
from mubench.trainers.models.modalities.text_to_image import SIZE
from mubench.trainers.runs.method_table import methods_for
from mubench.trainers.tools.blocks import block_list, split_before
from mubench.trainers.unlearning.teachers import frozen_logits
from tests.fixtures.toy import HERE

pytestmark = pytest.mark.slow
MODALITY = MODALITIES["text_to_image"]
ROWS, FORGET = 6, 2


@pytest.fixture(scope="module")
def rows():
    features = datasets.Features({
        "example_id": datasets.Value("string"), "image": datasets.Image(), "caption": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["ring", "moon"]),
    })  # fmt: skip
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)) for _ in range(ROWS)]
    captions = [f"a {'ring' if i % 2 == 0 else 'moon'} of {name}" for i, name in enumerate("ABCDEF")]
    columns = {"example_id": list("uvwxyz"), "image": pictures, "caption": captions, "label": [0, 1] * (ROWS // 2)}
    return datasets.Dataset.from_dict(columns, features=features)


def build(method, rows, folder, backbone="unet", **changes):
    model, processor = MODALITY.create(backbone, ("ring", "moon"), {"train": rows}, seed=0)
    encoded = MODALITY.encode(rows, processor)
    data = {"forget": Subset(encoded, range(FORGET)), "retain": Subset(encoded, range(FORGET, ROWS))}
    trainer = METHODS[method]
    settings = {"max_steps": 2, "per_device_train_batch_size": 2, "learning_rate": 1e-3, **changes}
    args = trainer.arguments(
        output_dir=str(folder), report_to="none", use_cpu=True, save_strategy="no", disable_tqdm=True, **settings
    )
    return trainer(
        model, args, train_dataset=data, data_collator=MODALITY.collator(processor), processing_class=processor
    )


def test_the_methods_for_text_to_image():
    assert {
        "retrain", "retrain_keep50", "retrain_at", "finetune", "neg_grad", "random_label", "salun", "scrub",
        "bad_teaching", "npo",
        "rmu", "esd", "ssd", "fisher", "influence", "sfron", "task_vector", "cf_k", "eu_k",
    } <= set(methods_for("text_to_image"))  # fmt: skip
    assert not {"dpo", "kl_min", "delete", "lotus", "multi_delete"} & set(methods_for("text_to_image"))


@pytest.mark.parametrize("method", methods_for("text_to_image"))
def test_every_method_for_text_to_image_changes_a_model(method, rows, tmp_path):
    trainer = build(method, rows, tmp_path, **HERE.get(method, {}))
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    assert any(not torch.equal(weight, before[name]) for name, weight in trainer.model.named_parameters())


@pytest.mark.parametrize("method", ["cf_k", "eu_k", "esd", "salun"])
def test_methods_on_parts_of_a_model_change_the_small_backbone(method, rows, tmp_path):
    trainer = build(method, rows, tmp_path, "unet-small", **HERE.get(method, {}))
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    changed = {name for name, weight in trainer.model.named_parameters() if not torch.equal(weight, before[name])}
    parts = {"cf_k": "unet.up_blocks.1.", "eu_k": "unet.up_blocks.1.", "esd": ".attn2.", "salun": "unet."}
    assert any(parts[method] in name for name in changed)
    assert method == "salun" or not any(name.startswith("unet.down_blocks.") for name in changed)


def test_student_and_teacher_get_the_same_noise(rows, tmp_path, monkeypatch):
    trainer = build("scrub", rows, tmp_path)
    trainer.prepare()
    shown = {}
    for name, model in (("student", trainer.model), ("teacher", trainer.teachers["original"])):
        model.register_forward_pre_hook(lambda _, __, given, name=name: shown.update({name: given}), with_kwargs=True)
    batch = trainer.train_collator([trainer.train_dataset[i] for i in (0, 1)])
    prepared = trainer._prepare_inputs(batch)
    first, *_ = trainer.terms(trainer.model, prepared)
    assert set(shown["student"]) == set(shown["teacher"]) == set(model_inputs(prepared))
    assert all(torch.equal(shown["student"][name], shown["teacher"][name]) for name in shown["student"])
    assert first.values.abs().max() < 1e-10  # at the original weights both predict the same


@pytest.mark.parametrize("backbone", ["unet", "unet-small"])
def test_the_last_blocks_are_those_of_the_unet(rows, tmp_path, backbone):
    model = build("finetune", rows, tmp_path, backbone).model
    name, blocks = block_list(model)
    assert name == "unet.up_blocks"
    split = split_before(model, len(blocks))
    assert {name.split(".")[0] for name in split.last} == {"unet"}
    assert any("up_blocks" in name for name in split.last) and "unet.conv_out.weight" in split.last
    assert all("up_blocks" not in name for name in split.frozen)


def test_a_random_copy_has_the_same_shapes_and_no_trained_weight(rows, tmp_path):
    model = build("finetune", rows, tmp_path).model
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3)
    fresh, other = random_copy(model, seed=1), random_copy(model, seed=2)
    trained, new = dict(model.named_parameters()), dict(fresh.named_parameters())
    assert {name: weight.shape for name, weight in new.items()} == {
        name: weight.shape for name, weight in trained.items()
    }
    assert not [name for name, weight in new.items() if torch.equal(weight, trained[name])]
    assert not torch.equal(new["unet.conv_in.weight"], other.unet.conv_in.weight)
    assert fresh.shape == model.shape and not any(weight.requires_grad for weight in new.values())


def test_eu_k_reinitialises_the_last_blocks_of_the_unet(rows, tmp_path):
    trainer = build("eu_k", rows, tmp_path)
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.prepare()
    moved = {name for name, weight in trainer.model.named_parameters() if not torch.equal(weight, before[name])}
    constant = {name for name in before if name.endswith("bias") or ".norm" in name or "conv_norm" in name}
    assert moved - constant == set(trainer.split.last) - constant
    assert "unet.conv_out.weight" in moved


def test_bad_teaching_distils_a_fresh_model_on_the_forget_set(rows, tmp_path):
    trainer = build("bad_teaching", rows, tmp_path)
    trainer.prepare()
    batch = trainer._prepare_inputs(trainer.train_collator([trainer.train_dataset[i] for i in range(ROWS)]))
    (term,) = trainer.terms(trainer.model, batch)
    bad = frozen_logits(trainer.teachers["bad"], batch)
    expected = squared_error(trainer.logits(trainer.model, batch), bad)[:FORGET]
    torch.testing.assert_close(term.values[:FORGET], expected)
    assert float(term.values[FORGET:].detach().max()) < 1e-10 < float(expected.detach().min())


def test_a_random_copy_keeps_the_autoencoder_and_the_text_encoder(rows, tmp_path):
    mini = build("finetune", rows, tmp_path).model
    beside = AutoencoderKL(block_out_channels=(4, 4), norm_num_groups=2, latent_channels=mini.shape[0])
    model = DiffusionModel(mini.unet, mini.text_encoder, mini.schedule, beside)
    fresh = random_copy(model, seed=1)
    for name, weight in fresh.named_parameters():
        old = model.get_parameter(name)
        assert weight is not old
        changes = name.startswith("unet.") and float(old.std(correction=0)) > 0
        assert torch.equal(weight, old) != changes, name
