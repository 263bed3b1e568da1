"""How to read a row of every kind of task, in a few lines that run as they stand."""

from __future__ import annotations

from mubench.hub_builders.tasks import Kind

_LOAD = 'from datasets import load_dataset\n\nds = load_dataset("{repository}", "{config}")\n'
_DECODE = (
    "from datasets import load_dataset\nfrom mubench.hub_builders import decode\n\n"
    'ds = decode(load_dataset("{repository}", "{config}"))\n'
)
_LABEL = 'row, names = ds["forget"][0], ds["forget"].features["label"].names\n'

USAGE: dict[Kind, str] = {
    "image_classification": _LOAD + _LABEL + 'print(row["image"].size, names[row["label"]])\n',
    "text_classification": _LOAD + _LABEL + 'print(row["text"], "->", names[row["label"]])\n',
    "image_pair_classification": _LOAD + _LABEL
    + 'print(row["text"], row["image_0"].size, row["image_1"].size, "->", names[row["label"]])\n',
    "audio_classification": _DECODE + _LABEL
    + 'print(row["audio"]["array"].shape, row["audio"]["sampling_rate"], "->", names[row["label"]])\n',
    "video_classification": _DECODE + _LABEL + 'print(row["video"].shape, "->", names[row["label"]])\n',
    "summarization": _LOAD + 'row = ds["forget"][0]\nprint(row["dialogue"], "->", row["summary"])\n',
    "text_generation": _LOAD + 'for name, value in ds["forget"][0].items():\n    print(name, value, sep=": ")\n',
    "text_to_image": _LOAD + 'row = ds["forget"][0]\nprint(row["caption"], "->", row["image"].size)\n',
}  # fmt: skip


def usage(kind: Kind, *, repository: str, config: str) -> str:
    """Return the example of a kind of task, about a config of a repository."""
    return USAGE[kind].format(repository=repository, config=config)
