"""Text-to-image models: encoding, reproducible images, and folders that diffusers reads."""

import dataclasses
import importlib.util
import shutil

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from mubench.hub_builders.tasks import BACKBONES, get_task
from mubench.hub_builders.tasks.own_backbones import recipe_of
from mubench.trainers.engine.batches import model_inputs
from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.engine.noise import KEY, START, add_grid_noise, generators, noises, row_key
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.engine.task_trainer import TaskTrainer
from mubench.trainers.inference.predict_images import STEPS, generate_images
from mubench.trainers.models.backbones import describe_backbone, find_backbone
from mubench.trainers.models.modalities import MODALITIES
from mubench.trainers.models.modalities import modality as modality_base
from mubench.trainers.models.modalities.diffusion import DiffusionModel, DiffusionProcessor
from mubench.trainers.models.modalities.text_to_image import MINI, PATCH, SIZE, TOKENS, resize
from tests.fixtures.pretrained import known, save_pipeline

__all__ = ["known"]

MODALITY = MODALITIES["text_to_image"]
CAPTIONS = ("a photo of a ring of Ada Brisk", "a photo of a ring of Bo Crane", "a photo of a moon of Cy Dale")
LABELS = ("ring", "moon")


def picture(seed):
    grid = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize((4 * SIZE, 4 * SIZE), Image.Resampling.NEAREST)


@pytest.fixture(scope="module")
def rows():
    features = datasets.Features({
        "example_id": datasets.Value("string"), "image": datasets.Image(), "caption": datasets.Value("string"),
        "label": datasets.ClassLabel(names=list(LABELS)),
    })  # fmt: skip
    columns = {"example_id": ["x", "y", "z"], "image": [picture(i) for i in range(3)], "caption": list(CAPTIONS),
               "label": [0, 0, 1]}  # fmt: skip
    return {"train": datasets.Dataset.from_dict(columns, features=features)}


@pytest.fixture(params=MINI)
def made(request, rows):
    return MODALITY.create(request.param, LABELS, rows, seed=0)


def batch_of(made, rows):
    encoded = MODALITY.encode(rows["train"], made[1], TOKENS)
    return MODALITY.collator(made[1])([encoded[i] for i in range(len(encoded))])


class Reddish:
    """A classifier by the mean of the red channel."""

    seed = 0

    def __call__(self, pictures):
        red = np.array([np.asarray(one)[..., 0].mean() / 255 for one in pictures], dtype=np.float32)
        return np.stack([red, 1 - red], axis=1)


image_classifier = Reddish()


def predict(made, rows):
    """Return a model's outputs, with its images classified by the classifier above."""
    model, processor = made
    encoded = MODALITY.encode(rows["train"], processor)
    return MODALITY.predict(
        model, dataclasses.replace(processor, image_classifier=image_classifier), rows["train"], encoded
    )


def test_rows_hold_caption_picture_class_and_key(made, rows):
    _, processor = made
    encoded = MODALITY.encode(rows["train"], processor, TOKENS)
    for place, caption in enumerate(CAPTIONS):
        one = encoded[place]
        assert one["input_ids"].shape == (TOKENS,)
        assert processor.tokenizer.decode(one["input_ids"], skip_special_tokens=True) == caption
        grid = np.asarray(picture(place))[::4, ::4]
        np.testing.assert_allclose((one["pixel_values"].permute(1, 2, 0) + 1) * 127.5, grid, atol=1e-4)
        assert one["labels"] == [0, 0, 1][place] and one[KEY] == row_key("xyz"[place])


def test_encoding_twice_gives_the_same_and_so_does_encoding_on_demand(made, rows, monkeypatch):
    kept = MODALITY.encode(rows["train"], made[1])
    monkeypatch.setattr(modality_base, "memory_share", lambda: 0)
    lazy = MODALITY.encode(rows["train"], made[1])
    assert kept.kept is not None and lazy.kept is None
    for i in range(3):
        assert all(torch.equal(torch.as_tensor(kept[i][name]), torch.as_tensor(lazy[i][name])) for name in kept[i])


def test_a_pattern_of_squares_survives_resizing():
    grid = picture(0)
    assert np.array_equal(np.asarray(resize(resize(grid, SIZE, True), 4 * SIZE, True)), np.asarray(grid))
    assert resize(grid, 5, False).size == (5, 5)


def test_a_mini_backbone_is_small_and_embeddings_of_names_start_at_zero(made, rows):
    model, processor = made
    assert sum(weight.numel() for weight in model.unet.parameters()) <= 1_000_000
    weight = model.text_encoder.get_input_embeddings().weight
    for name in ("Ada", "Brisk", "Crane"):
        assert not weight[processor.tokenizer(f" {name}")["input_ids"]].any()
    assert weight[processor.tokenizer("ring")["input_ids"]].any(dim=1).all()


def test_the_small_backbone_reads_captions_and_real_images_of_32_pixels(rows):
    assert BACKBONES["unet-small"].millions == 2.71 and not BACKBONES["unet-small"].is_mini
    made = MODALITY.create("unet-small", LABELS, rows, seed=0)
    model, processor = made
    count = sum(weight.numel() for weight in model.unet.parameters())
    assert round(count / 1e6, 2) == 2.71 and (model.size, model.patch, processor.size) == (32, 4, 32)
    batch = batch_of(made, rows)
    assert batch["pixel_values"].shape == (3, 3, 32, 32)
    assert torch.equal(model.pixels(model.latents(batch["pixel_values"])), batch["pixel_values"])
    other = {**batch, "input_ids": batch["input_ids"].flip(0)}
    sure, changed = (model.eval()(**model_inputs(add_grid_noise(model, one, 4, 8))).logits for one in (batch, other))
    assert not torch.allclose(sure[0], changed[0]) and torch.allclose(sure[1], changed[1])
    assert generate_images(model, batch).shape == (3, 32, 32, 3)


def test_a_seed_decides_the_weights_and_nothing_is_dropped(rows):
    logits = []
    for seed in (0, 0, 1):
        torch.rand(1)
        made = MODALITY.create("unet", LABELS, rows, seed)
        logits.append(
            made[0].train(seed == 0)(**model_inputs(add_grid_noise(made[0], batch_of(made, rows), 4, 8))).logits
        )
    assert torch.equal(logits[0], logits[1]) and not torch.equal(logits[0], logits[2])


def test_outputs_are_the_losses_and_the_classes_of_generated_images(made, rows):
    model, processor = made
    outputs = predict((model.train(), processor), rows)
    assert model.training and outputs.ids.tolist() == ["x", "y", "z"] and outputs.classes.labels.tolist() == [0, 0, 1]
    other = dataclasses.replace(processor, image_classifier=Reddish())
    other.image_classifier.seed = 1
    again = MODALITY.predict(model, other, rows["train"], MODALITY.encode(rows["train"], processor))
    assert np.array_equal(outputs.losses, again.losses) and not np.array_equal(
        outputs.classes.logits, again.classes.logits
    )
    batch = batch_of(made, rows)
    noisy = add_grid_noise(model, batch, 5, 8)
    with torch.no_grad():
        losses = per_example_loss(model.eval()(**model_inputs(noisy)).logits, noisy["labels"])
    np.testing.assert_allclose(outputs.losses[:, 5], losses, rtol=1e-5)
    pictures = [resize(Image.fromarray(one), 4 * SIZE, True) for one in generate_images(model, batch)]
    np.testing.assert_allclose(outputs.classes.logits, image_classifier(pictures), rtol=1e-5)
    with pytest.raises(ValueError, match=r"^expected an image classifier to judge generated images, got none$"):
        MODALITY.predict(model, processor, rows["train"], MODALITY.encode(rows["train"], processor))


def test_generated_images_depend_on_their_seed_and_row_alone(made, rows):
    model, batch = made[0].eval(), batch_of(made, rows)
    alone = {name: value[1:2] for name, value in batch.items()}
    whole = generate_images(model, batch).astype(int)
    assert np.abs(whole[1:2] - generate_images(model, alone)).max() <= 1  # sums of another order round otherwise
    assert np.array_equal(whole, generate_images(model, batch))
    assert (whole != generate_images(model, batch, eval_seed=1)).mean() > 0.25


def test_a_saved_folder_loads_with_equal_outputs(made, rows, tmp_path):
    for part in made:
        part.save_pretrained(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".bin", ".pt", ".pkl", ".ckpt")]
    outputs = [predict(pair, rows) for pair in (made, MODALITY.load(tmp_path))]
    assert outputs[0].equals(outputs[1])


def test_a_saved_folder_is_read_by_plain_diffusers_which_generates_the_images_we_judge(made, rows, tmp_path):
    from diffusers import StableDiffusionPipeline  # noqa: PLC0415  the package is slow to import

    for part in made:
        part.save_pretrained(tmp_path)
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path, vae=None)
    pipe.set_progress_bar_config(disable=True)
    batch = batch_of(made, rows)
    start = noises(generators(batch[KEY], START, 0), made[0].shape)
    settings = {"num_inference_steps": STEPS, "guidance_scale": 1, "output_type": "latent"}
    pixels = torch.nn.functional.pixel_shuffle(pipe(list(CAPTIONS), latents=start, **settings).images, PATCH)
    theirs = ((pixels.clamp(-1, 1) + 1) * 127.5).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(theirs - generate_images(made[0].eval(), batch)).max() <= 1


def test_an_autoencoder_puts_noise_on_latents_and_leaves_the_unet_alone_to_train(made, rows, tmp_path):
    from diffusers import AutoencoderKL  # noqa: PLC0415  the package is slow to import

    mini, processor = made
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=48, norm_num_groups=4, scaling_factor=0.5,
    ).eval()  # fmt: skip
    model = DiffusionModel(mini.unet, mini.text_encoder, mini.schedule, vae)
    wide = DiffusionProcessor.of(model, processor.tokenizer)
    assert (model.size, wide.size, wide.pixels) == (SIZE // PATCH * 2, SIZE // PATCH * 2, False)
    batch = batch_of((model, wide), rows)
    with torch.no_grad():
        expected = vae.encode(batch["pixel_values"]).latent_dist.mode() * 0.5
    torch.testing.assert_close(model.latents(batch["pixel_values"]), expected)
    assert {name.split(".")[0] for name, weight in model.named_parameters() if weight.requires_grad} == {"unet"}
    model.save_pretrained(tmp_path)
    wide.save_pretrained(tmp_path)
    again, _ = MODALITY.load(tmp_path)
    assert not any(weight.requires_grad for weight in again.vae.parameters())
    assert np.array_equal(generate_images(model.eval(), batch), generate_images(again.eval(), batch))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "Tiny SD"
    save_pipeline(folder, CAPTIONS)
    return folder


@pytest.fixture
def own_pipeline(pipeline, tmp_path, known):
    return shutil.copytree(pipeline, tmp_path / "Tiny SD")


def test_a_pipeline_of_ones_own_is_a_backbone_whose_files_identify_it(own_pipeline, rows, tmp_path):
    task = get_task("tiny_imagenet")
    file = own_pipeline / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    shutil.copy(file, file.with_suffix(".fp16.safetensors"))
    key = find_backbone(str(own_pipeline), task, tmp_path / "models")
    assert recipe_of(task, key) == task.recipes["sd-v1-4"]
    millions = sum(weight.numel() for weight in weights.values()) / 1e6
    assert describe_backbone(key, task) == [
        f"backbone: {key}, StableDiffusionPipeline of {millions:.3g} M parameters; recipe and defaults are those of "
        "sd-v1-4, of its family"
    ]
    diffusion, processor = MODALITY.create(key, LABELS, rows, seed=0)
    assert all(torch.equal(weight, weights[name]) for name, weight in diffusion.unet.state_dict().items())
    assert (diffusion.size, processor.pixels) == (8, False)
    assert predict((diffusion, processor), rows).is_finite()
    (own_pipeline / "scheduler" / "scheduler_config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"expected the files of .* and it is another backbone"):
        MODALITY.create(key, LABELS, rows, seed=0)


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (
            lambda folder: (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionXLPipeline"}'),
            "expected a StableDiffusionPipeline in .*, got StableDiffusionXLPipeline",
        ),
        (lambda folder: (folder / "model_index.json").write_text("[]"), "expected a model's config in .*index.json"),
        (lambda folder: (folder / "model_index.json").unlink(), "expected a pretrained model with config.json"),
        (lambda folder: shutil.rmtree(folder / "tokenizer"), "expected a tokenizer in .*tokenizer, got none"),
        (lambda folder: shutil.rmtree(folder / "unet"), "expected weights as safetensors in .*unet, got none"),
        (lambda folder: shutil.rmtree(folder / "vae"), "expected a folder vae in .*Tiny SD, got none"),
    ],
)
def test_what_is_no_whole_pipeline_of_stable_diffusion_is_refused(own_pipeline, rows, tmp_path, spoil, line):
    spoil(own_pipeline)
    with pytest.raises((OSError, ValueError), match=line):
        MODALITY.create(find_backbone(str(own_pipeline), get_task("tiny_imagenet"), tmp_path), LABELS, rows, seed=0)


def test_models_of_other_things_than_noise_are_refused(made):
    schedule = type(made[0].schedule)(prediction_type="sample")
    with pytest.raises(ValueError, match=r"^expected a model of noise or velocity, got one of sample$"):
        DiffusionModel(made[0].unet, made[0].text_encoder, schedule)


def test_without_the_extra_the_error_is_one_line(rows, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        FileNotFoundError,
        match=r"^expected the package diffusers .* pip install 'mubench\[",
    ):
        MODALITY.create("unet", LABELS, rows, 0)


def trained(rows, folder, **changes):
    model, processor = MODALITY.create("unet", LABELS, rows, seed=0)
    settings = {"per_device_train_batch_size": 2, "num_train_epochs": 2, "learning_rate": 1e-3, "seed": 4} | changes
    arguments = TaskArguments(output_dir=str(folder), report_to="none", use_cpu=True, disable_tqdm=True, **settings)
    encoded = MODALITY.encode(rows["train"], processor)
    TaskTrainer(model=model, args=arguments, train_dataset=encoded, data_collator=MODALITY.collator(processor)).train()
    return model.state_dict()


def test_training_repeats_and_accumulation_changes_nothing(rows, tmp_path):
    one, same = (trained(rows, tmp_path / name, save_strategy="no") for name in "ab")
    assert all(torch.equal(one[name], same[name]) for name in one)
    shared = {"save_strategy": "no", "optim": "sgd", "learning_rate": 0.1}
    whole = trained(rows, tmp_path / "c", per_device_train_batch_size=3, **shared)
    split = trained(rows, tmp_path / "d", per_device_train_batch_size=1, gradient_accumulation_steps=3, **shared)
    for name in whole:
        torch.testing.assert_close(whole[name], split[name], atol=1e-5, rtol=1e-4)
