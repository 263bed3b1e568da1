"""Plain `transformers.Trainer` on a task of the suite, a method of it in the middle, and `judge` at the end.

`mubench build cifar10` makes ./mu-bench; a dataset of the Hub does as well: `python plain_trainer.py NAMESPACE/NAME`.
"""

import copy
import sys
from typing import Any

import numpy as np
from datasets import Dataset, load_dataset
from transformers import ResNetConfig, ResNetForImageClassification, Trainer, TrainingArguments, set_seed

from mubench.trainers import NegGradPlusArguments, NegGradPlusTrainer, judge

# Config cifar10_del10 has the splits forget, retain, validation and test.
dataset = load_dataset(sys.argv[1] if len(sys.argv) > 1 else "mu-bench", "cifar10_del10")
names = dataset["forget"].features["label"].names


def encode(split: str) -> Dataset:
    """Return a split with ``pixel_values``, (3, 16, 16), and ``labels``; `example_id` stays, models drop it."""

    def read(row: dict[str, Any]) -> dict[str, Any]:
        pixels = np.asarray(row["image"].resize((16, 16)), dtype=np.float32) / 255 - 0.5
        return {"pixel_values": pixels.transpose(2, 0, 1)}

    rows = dataset[split].map(read).rename_column("label", "labels")
    return rows.select_columns(["example_id", "pixel_values", "labels"])


data = {split: list(encode(split).with_format("torch")) for split in ("forget", "retain", "test")}


def train(splits: list[str], seed: int) -> ResNetForImageClassification:
    """Train from scratch on the rows of some splits, as `transformers.Trainer` does it."""
    set_seed(seed)
    config = ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", num_labels=len(names)
    )
    rows = [row for split in splits for row in data[split]]
    arguments = TrainingArguments(
        output_dir=f"plain-{seed}", num_train_epochs=6, per_device_train_batch_size=128, learning_rate=1e-2,
        save_strategy="no", seed=seed,
    )  # fmt: skip
    trainer = Trainer(ResNetForImageClassification(config), arguments, train_dataset=rows)
    trainer.train()
    return trainer.model


base = train(["forget", "retain"], seed=0)
retrained = [train(["retain"], seed) for seed in (1, 2)]

trainer = NegGradPlusTrainer(
    copy.deepcopy(base),
    NegGradPlusArguments(
        output_dir="plain-unlearned", num_train_epochs=2, per_device_train_batch_size=128, learning_rate=2e-3,
        save_strategy="no",
    ),
    train_dataset={"forget": data["forget"], "retain": data["retain"]},
)  # fmt: skip
trainer.train()

found = judge(model=trainer.model, base=base, retrained=retrained, data=data)
parts = ", ".join(f"{part} {value:.2f}" for part, value in found.parts.items())
print(f"S = {found.score:.2f} ({parts})")  # 0 is the base model, 1 is retrained
