"""Example code of the cards: reading a row of every kind of task, and generating an image. All of it is executable."""

from __future__ import annotations

from mubench.hub_builders.tasks import Kind

_LOAD = 'from datasets import load_dataset\n\nds = load_dataset("{repository}", "{config}")\n'
_DECODE = (
    "from datasets import load_dataset\nfrom mubench.hub_builders import decode\n\n"
    'ds = decode(load_dataset("{repository}", "{config}"))\n'
)
_LABEL = 'row, names = ds["{split}"][0], ds["{split}"].features["label"].names\n'

USAGE: dict[Kind, str] = {
    "image_classification": _LOAD + _LABEL + 'print(row["image"].size, names[row["label"]])\n',
    "text_classification": _LOAD + _LABEL + 'print(row["text"], "->", names[row["label"]])\n',
    "image_pair_classification": _LOAD + _LABEL
    + 'print(row["text"], row["image_0"].size, row["image_1"].size, "->", names[row["label"]])\n',
    "audio_classification": _DECODE + _LABEL
    + 'print(row["audio"]["array"].shape, row["audio"]["sampling_rate"], "->", names[row["label"]])\n',
    "video_classification": _DECODE + _LABEL + 'print(row["video"].shape, "->", names[row["label"]])\n',
    "summarization": _LOAD + 'row = ds["{split}"][0]\nprint(row["dialogue"], "->", row["summary"])\n',
    "text_generation": _LOAD + 'for name, value in ds["{split}"][0].items():\n    print(name, value, sep=": ")\n',
    "text_to_image": _LOAD + 'row = ds["{split}"][0]\nprint(row["caption"], "->", row["image"].size)\n',
}  # fmt: skip

# Contents of the reference outputs of kinds whose outputs are not logits.
OUTPUTS: dict[Kind, str] = {"text_to_image": "denoising losses and a classifier's logits for its generated images"}
_GENERATE = (
    'from diffusers import StableDiffusionPipeline\n\npipe = StableDiffusionPipeline.from_pretrained("{folder}")\n'
    'pipe("a photo of a goldfish").images[0].save("image.png")\n'
)
# A mini model has no autoencoder: its latents are the image itself, 4 x 4 pixels per position.
_GENERATE_MINI = (
    "import torch\nfrom diffusers import StableDiffusionPipeline\nfrom PIL import Image\n\n"
    'pipe = StableDiffusionPipeline.from_pretrained("{folder}", vae=None)\n'
    'images = pipe("a photo of a coral ring", num_inference_steps=10, guidance_scale=1, output_type="latent").images\n'
    "pixels = torch.nn.functional.pixel_shuffle(images, 4)[0].clamp(-1, 1)  # (3, 8, 8)\n"
    "grid = ((pixels + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()\n"
    'Image.fromarray(grid).resize((128, 128), Image.Resampling.NEAREST).save("image.png")\n'
)


def model_usage(kind: Kind, *, folder: str, pretrained: bool) -> str | None:
    """Return how to generate an image with a text-to-image model, mini or pretrained; ``None`` for other kinds."""
    if kind != "text_to_image":
        return None
    return (_GENERATE if pretrained else _GENERATE_MINI).format(folder=folder)


def usage(kind: Kind, *, repository: str, config: str, split: str = "forget") -> str:
    """Return how to read a row of a split of a config of a dataset repository."""
    return USAGE[kind].format(repository=repository, config=config, split=split)
