"""Example code of the cards: reading a row, and using a model, of every kind of task. All of it is executable."""

from __future__ import annotations

import json

from mubench.hub_builders.hub.model_folder import Run
from mubench.hub_builders.tasks import Kind, Task
from mubench.hub_builders.tasks.names import config_name, dataset_folder

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
# How to use a model of each kind on one row.
MODEL_USAGE: dict[Kind, str] = {
    "image_classification": """\
from datasets import load_dataset
from transformers import AutoImageProcessor, AutoModelForImageClassification

row = load_dataset("{repository}", "{config}")["test"][0]
processor = AutoImageProcessor.from_pretrained("{folder}", backend="pil")
model = AutoModelForImageClassification.from_pretrained("{folder}")
logits = model(**processor(row["image"].convert("RGB"), return_tensors="pt")).logits
print(model.config.id2label[logits.argmax().item()])
""",
    "text_classification": """\
from datasets import load_dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer

row = load_dataset("{repository}", "{config}")["test"][0]
tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelForSequenceClassification.from_pretrained("{folder}")
logits = model(tokenizer(row["text"], return_tensors="pt"{limit}).input_ids).logits
print(model.config.id2label[logits.argmax().item()])
""",
    "image_pair_classification": """\
from datasets import load_dataset
from transformers import ViltForImagesAndTextClassification, ViltProcessor

row = load_dataset("{repository}", "{config}")["test"][0]
processor = ViltProcessor.from_pretrained("{folder}", backend="pil")
model = ViltForImagesAndTextClassification.from_pretrained("{folder}")
pair = [row["image_0"].convert("RGB"), row["image_1"].convert("RGB")]
inputs = processor(pair, row["text"], return_tensors="pt")
logits = model(input_ids=inputs["input_ids"], pixel_values=inputs["pixel_values"][None]).logits
print(model.config.id2label[logits.argmax().item()])
""",
    "audio_classification": """\
from datasets import load_dataset
from mubench.hub_builders import decode
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

sound = decode(load_dataset("{repository}", "{config}"))["test"][0]["audio"]
processor = AutoFeatureExtractor.from_pretrained("{folder}")
model = AutoModelForAudioClassification.from_pretrained("{folder}")
inputs = processor(sound["array"], sampling_rate=sound["sampling_rate"], return_tensors="pt")
print(model.config.id2label[model(**inputs).logits.argmax().item()])
""",
    "video_classification": """\
import numpy as np
from datasets import load_dataset
from mubench.hub_builders import decode
from transformers import AutoImageProcessor, AutoModelForVideoClassification

video = decode(load_dataset("{repository}", "{config}"))["test"][0]["video"]
processor = AutoImageProcessor.from_pretrained("{folder}", backend="pil")
model = AutoModelForVideoClassification.from_pretrained("{folder}")
frames = video[np.linspace(0, len(video) - 1, model.config.num_frames).round().astype(int)]
logits = model(**processor([*frames], return_tensors="pt")).logits
print(model.config.id2label[logits.argmax().item()])
""",
    "summarization": """\
from datasets import load_dataset
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

row = load_dataset("{repository}", "{config}")["test"][0]
tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelForSeq2SeqLM.from_pretrained("{folder}")
tokens = tokenizer(row["{prompt}"]{end}, return_tensors="pt"{limit}).input_ids
print(tokenizer.decode(model.generate(tokens, max_new_tokens=32)[0], skip_special_tokens=True))
""",
    "text_generation": """\
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

row = load_dataset("{repository}", "{config}")["test"][0]
tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelForCausalLM.from_pretrained("{folder}")
tokens = tokenizer(row["{prompt}"], return_tensors="pt").input_ids
print(tokenizer.decode(model.generate(tokens, max_new_tokens=32)[0], skip_special_tokens=True))
""",
    "text_to_image": """\
from datasets import load_dataset
from diffusers import StableDiffusionPipeline

row = load_dataset("{repository}", "{config}")["test"][0]
pipe = StableDiffusionPipeline.from_pretrained("{folder}")
pipe(row["caption"]).images[0].save("image.png")
""",
}
# Of texts without prompts, which are judged by what follows their first half.
_CONTINUE = """\
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

row = load_dataset("{repository}", "{config}")["test"][0]
tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelForCausalLM.from_pretrained("{folder}")
ids, begin = tokenizer(row["{prompt}"]).input_ids, tokenizer.bos_token_id
if begin is not None and ids[0] != begin:
    ids = [begin, *ids]
middle = (len(ids) + 1) // 2
tokens = torch.tensor([ids[:middle]])
continuation = model.generate(tokens, max_new_tokens=min(128, len(ids) - middle), do_sample=False)[0, middle:]
print(tokenizer.decode(continuation, skip_special_tokens=True).strip())
"""
# Equal to the tokens of `ChatTemplate`, but without the suite: readers of a card may not have it.
_GENERATE_CHAT = r"""import re
from datetime import date

from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

row = load_dataset("{repository}", "{config}")["test"][0]
tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelForCausalLM.from_pretrained("{folder}")
turns = [{system}{{"role": "user", "content": row["{prompt}"]}}]
# Wherever the template states a date, state the one that this model was trained on.
day, template = date(2025, 4, 10), tokenizer.get_chat_template()
template = re.sub(r"strftime_now\(\s*(['\"])(.*?)\1\s*\)", lambda call: repr(day.strftime(call[2])), template)
options = {{"chat_template": template, "return_dict": True, "enable_thinking": False}}
inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", **options)
start = inputs["input_ids"].shape[1]
# An answer ends where its turn does: with the first special token behind it.
answered = tokenizer.apply_chat_template([*turns, {{"role": "assistant", "content": "a"}}], **options)["input_ids"]
special = {{*tokenizer.all_special_ids, *(i for i, one in tokenizer.added_tokens_decoder.items() if one.special)}}
ends = [tokenizer.eos_token_id, next(token for token in answered[start:] if token in special)]
tokens = model.generate(**inputs, max_new_tokens=128, do_sample=False, eos_token_id=ends)[0, start:]
print(tokenizer.decode(tokens, skip_special_tokens=True).strip())
"""
# A mini model has no autoencoder: its latents are the image itself, 4 x 4 pixels per position.
_GENERATE_MINI = """\
import torch
from datasets import load_dataset
from diffusers import StableDiffusionPipeline
from PIL import Image

row = load_dataset("{repository}", "{config}")["test"][0]
pipe = StableDiffusionPipeline.from_pretrained("{folder}", vae=None)
images = pipe(row["caption"], num_inference_steps=10, guidance_scale=1, output_type="latent").images
pixels = torch.nn.functional.pixel_shuffle(images, 4)[0].clamp(-1, 1)  # (3, 8, 8)
grid = ((pixels + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
Image.fromarray(grid).resize((128, 128), Image.Resampling.NEAREST).save("image.png")
"""


def model_usage(task: Task, run: Run, *, folder: str, pretrained: bool) -> str:
    """Return how to load a model and run it on a test row, or generate an image.

    Args:
        task: The task of its run.
        run: Its run.
        folder: Where it lies.
        pretrained: Whether its backbone is a published or a custom model; mini ones differ in what they read.
    """
    kind = model_kind(task, run.backbone)
    text = MODEL_USAGE[kind]
    if kind == "text_to_image" and not pretrained:
        text = _GENERATE_MINI
    if task.prefix_free:
        text = _CONTINUE
    elif run.recipe.get("template") == "chat":
        text = _GENERATE_CHAT
    length, system = run.recipe.get("max_length"), run.recipe.get("system_prompt")
    return text.format(
        folder=folder,
        repository=dataset_folder(run.family, run.deletion_seed),
        config=config_name(run.task, run.ratio, run.family),
        prompt=next((name for name, column in task.columns.items() if column == "string"), ""),
        limit=f", truncation=True, max_length={length}" if length else "",
        end="" if pretrained else " + tokenizer.eos_token",
        system="" if system is None else json.dumps({"role": "system", "content": system}, ensure_ascii=False) + ", ",
    )


def model_kind(task: Task, backbone: str) -> Kind:
    """Return the kind of a task's model: a text-to-image task also has models that classify images."""
    return "image_classification" if backbone in task.classifiers else task.kind


def usage(kind: Kind, *, repository: str, config: str, split: str = "forget") -> str:
    """Return how to read a row of a split of a config of a dataset repository."""
    return USAGE[kind].format(repository=repository, config=config, split=split)
