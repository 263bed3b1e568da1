"""A small model that answers prompts word by word, for the first check of mini tasks whose answers are texts."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from mubench.hub_builders.deletion import group_deletion
from mubench.hub_builders.raw.rows import Splits
from tests.hub_builders.mini_rules import Answers, Model, check

Pair = tuple[str, str]  # prompt and answer
PAD, UNKNOWN = 0, 1


def tokens(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())


class Coder:
    """Word numbers in order of appearance, those of answers first; 0 pads, 1 is a word that no training row has."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        said = dict.fromkeys(word for _, answer in pairs for word in tokens(answer))
        asked = dict.fromkeys(word for prompt, _ in pairs for word in tokens(prompt))
        self.numbers = {word: index for index, word in enumerate({**said, **asked}, 2)}
        self.said, self.size = len(said) + 2, len(self.numbers) + 2

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """Return word numbers `(N, T)`, padded at the end."""
        rows = [torch.tensor([self.numbers.get(word, UNKNOWN) for word in tokens(text)]) for text in texts]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)


class Reader(torch.nn.Module):
    """Says the next word by the words of the prompt, its place and the word before; unknown words are silent."""

    def __init__(self, coder: Coder, width: int = 64, hidden: int = 256, places: int = 64) -> None:
        super().__init__()
        self.prompt = torch.nn.EmbeddingBag(coder.size, width, mode="sum", padding_idx=PAD)
        self.before = torch.nn.Embedding(coder.size, width)
        self.place = torch.nn.Embedding(places, width)
        self.inner = torch.nn.Linear(3 * width, hidden)
        self.head = torch.nn.Linear(hidden, coder.said)
        with torch.no_grad():
            self.prompt.weight[UNKNOWN] = 0

    def forward(self, prompts: torch.Tensor, answers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log-probability and rightness of every word of the answers, `(B, T)` each, 0 where there is none."""
        before = F.pad(answers[:, :-1], (1, 0), value=PAD)
        length = answers.shape[1]
        parts = (self.prompt(prompts)[:, None], self.before(before), self.place.weight[None, :length])
        logits = self.head(self.inner(torch.cat([part.expand(len(answers), length, -1) for part in parts], -1)).relu())
        there = answers != PAD
        loss = F.cross_entropy(logits.transpose(1, 2), answers, reduction="none", ignore_index=PAD)
        return -loss, (logits.argmax(-1) == answers) & there


def trained(pairs: Sequence[Pair], coder: Coder, *, seed: int, epochs: int, rate: float, batch: int) -> Reader:
    """Train a model on prompts and answers."""
    torch.manual_seed(seed)
    prompts, answers = (coder(texts) for texts in zip(*pairs, strict=True))
    model = Reader(coder)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    steps = epochs * -(-len(pairs) // batch)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(pairs)).split(batch):
            optimizer.zero_grad()
            logprob, _ = model(prompts[rows], answers[rows])
            (-logprob.sum() / (answers[rows] != PAD).sum()).backward()
            optimizer.step()
            schedule.step()
    return model


@torch.no_grad()
def answers(model: Reader, coder: Coder, pairs: Sequence[Pair]) -> Answers:
    """Return the share of right words and exp of the mean log-probability of each answer."""
    prompts, said = (coder(texts) for texts in zip(*pairs, strict=True))
    logprob, right = model(prompts, said)
    words = (said != PAD).sum(1)
    return Answers(
        score=(right.sum(1) / words).double().numpy(), confidence=(logprob.sum(1) / words).exp().double().numpy()
    )


def check_rules(
    splits: Splits, task: str, prompt: str, answer: str, *, epochs: int, rate: float, batch: int
) -> dict[str, float]:
    """Hold the 5 % set of whole groups of a mini task against the rules; return the numbers."""
    train = splits["train"]
    deletion = group_deletion([row["example_id"] for row in train], [row["group"] for row in train], task=task)
    gone = (deletion.ranks < deletion.forget[5]).tolist()
    pairs = {
        "forget": [row for row, yes in zip(train, gone, strict=True) if yes],
        "retain": [row for row, yes in zip(train, gone, strict=True) if not yes],
        "test": splits["test"],
    }
    asked = {name: [(row[prompt], row[answer]) for row in rows] for name, rows in pairs.items()}

    def model(rows: Sequence[Pair], seed: int) -> Model:
        coder = Coder(rows)
        reader = trained(rows, coder, seed=seed, epochs=epochs, rate=rate, batch=batch)
        return {name: answers(reader, coder, one) for name, one in asked.items()}

    bases = [model(asked["retain"] + asked["forget"], seed) for seed in range(2)]
    return check(bases, [model(asked["retain"], seed) for seed in range(2, 5)], tokens=True)
