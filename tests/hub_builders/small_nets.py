"""A network with one hidden layer on features made beforehand: the first check that a mini task of media is good."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mubench.hub_builders.raw.rows import Row, Splits
from tests.hub_builders.mini_models import Fit, answers
from tests.hub_builders.mini_rules import Answers


def by_features(splits: Splits, features: Callable[[list[Row]], Tensor], *, epochs: int, learning_rate: float) -> Fit:
    """Return a function that trains a network on rows of a classification task.

    Args:
        splits: The task's rows.
        features: Turns rows into features `(N, ...)`.
        epochs: Passes over the training rows.
        learning_rate: Peak learning rate.
    """
    known = {split: features(splits[split]).flatten(1) for split in ("train", "test")}
    mean, scale = known["train"].mean(0), known["train"].std(0) + 0.1
    place = {row["example_id"]: (split, i) for split in known for i, row in enumerate(splits[split])}
    classes = 1 + max(row["label"] for row in splits["train"])

    def encoded(rows: list[Row]) -> tuple[Tensor, Tensor]:
        chosen = [place[row["example_id"]] for row in rows]
        x = torch.stack([known[split][i] for split, i in chosen])
        return (x - mean) / scale, torch.tensor([row["label"] for row in rows])

    def fit(rows: list[Row], seed: int) -> Callable[[list[Row]], Answers]:
        torch.manual_seed(seed)
        x, y = encoded(rows)
        net = nn.Sequential(nn.Linear(x.shape[1], 128), nn.ReLU(), nn.Linear(128, classes))
        _train(net, x, y, epochs, learning_rate)

        def answer(others: list[Row]) -> Answers:
            inputs, labels = encoded(others)
            with torch.no_grad():
                return answers(net(inputs).numpy().astype(np.float64), labels.numpy())

        return answer

    return fit


def _train(net: nn.Module, x: Tensor, y: Tensor, epochs: int, learning_rate: float) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=0.1)
    steps = epochs * -(-len(x) // 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
            schedule.step()
