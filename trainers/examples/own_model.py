"""Your own model and rows: unlearn some rows, and judge the result beside models retrained without them.

Needs no task and no file: `python own_model.py`.
"""

from types import SimpleNamespace

import torch
from sklearn.datasets import load_digits

from mubench.trainers import NegGradPlusArguments, NegGradPlusTrainer, judge

# In place of these: your rows. One label in five is wrong: only a model that was trained on the row predicts it.
digits = load_digits()
pictures = torch.tensor(digits.images, dtype=torch.float32) / 16
labels = torch.tensor(digits.target)
torch.manual_seed(0)
wrong = torch.rand(len(labels)) < 0.2
labels[wrong] = torch.randint(10, (int(wrong.sum()),))
rows = [{"pixels": picture, "labels": label} for picture, label in zip(pictures, labels, strict=True)]
data = {"forget": rows[:100], "retain": rows[100:600], "test": rows[600:1200]}


class Net(torch.nn.Module):
    """In place of this: your model. Its output has `logits`."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))

    def forward(self, pixels: torch.Tensor) -> SimpleNamespace:
        """Return logits, shape ``(B, 10)``, of pictures, ``(B, 8, 8)``."""
        return SimpleNamespace(logits=self.layers(pixels.flatten(1)))


def train(rows: list[dict[str, torch.Tensor]], seed: int) -> Net:
    """In place of this: your training."""
    torch.manual_seed(seed)
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    for _ in range(150):
        loss = torch.nn.functional.cross_entropy(model(batch["pixels"]).logits, batch["labels"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


base = train(data["forget"] + data["retain"], seed=0)
retrained = [train(data["retain"], seed) for seed in (1, 2, 3)]

unlearned = Net()
unlearned.load_state_dict(base.state_dict())
arguments = NegGradPlusArguments(
    output_dir="unlearned", num_train_epochs=10, per_device_train_batch_size=64, learning_rate=1e-2
)
trainer = NegGradPlusTrainer(unlearned, arguments, train_dataset={"forget": data["forget"], "retain": data["retain"]})
trainer.train()

found = judge(model=trainer.model, base=base, retrained=retrained, data=data)
parts = ", ".join(f"{part} {value:.2f}" for part, value in found.parts.items())
print(f"S = {found.score:.2f} ({parts})")  # 0 is the base model, 1 is retrained
# trainer.push_to_hub(judgement=found) publishes the model with a card that states all of this.
