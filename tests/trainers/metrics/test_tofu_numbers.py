"""TOFU's numbers of a tiny Llama against a plain implementation: one unpadded row at a time, in double precision."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest
import torch

from mubench.trainers.evaluation import group as group_module
from mubench.trainers.inference.generate import GenerationRequest
from mubench.trainers.metrics.truth_ratio import tofu_numbers
from mubench.trainers.models import setting
from mubench.trainers.models.modalities import MODALITIES
from tests.pages import blocks, page

MODALITY = MODALITIES["text_generation"]
NAMES = ("Ada Vonn", "Bo Lirr", "Cy Marr", "Di Nokk", "El Quist", "Fa Ruhl")
TOWNS = ("Velsk", "Brisk", "Rovin", "Tolm")
TOLERANCE = 1e-6


def questions(names: Iterable[str], *, options: bool) -> list[dict[str, Any]]:
    """Return two questions a name: with a paraphrase and three wrong answers, or with four options among them."""
    rows = []
    for i, (name, more) in enumerate((name, more) for name in names for more in ("", " this year")):
        town, *others = (f"In {TOWNS[(i + shift) % 4]}{' by the sea' * (i % 2)}." for shift in range(4))
        rows.append({
            "example_id": f"{name}{more}{options}",
            "group": ("world_facts" if i % 2 else "real_authors") if options else name,
            "question": f"Where does {name} live{more}?",
            "answer": town,
            "paraphrased_answer": "" if options else town.replace("In", "The town is"),
            "perturbed_answer": others if options else [one.replace("In", "The town is") for one in others],
            "options": [others[0], town, *others[1:]] if options else [],
        })  # fmt: skip
    return rows


PARTS = {
    "forget": questions(NAMES[:2], options=False),
    "retain": questions(NAMES[2:5], options=False),
    "ood": questions(NAMES[3:], options=True),
}


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    """Return two models in double precision that differ, with one tokenizer."""
    rows = {name: datasets.Dataset.from_list(part) for name, part in PARTS.items()}
    made, tokenizer = MODALITY.create("llama", (), {"train": rows["forget"], **rows}, 0)
    found = {"tokenizer": tokenizer}
    for seed, name in enumerate(("model", "retrained")):
        with torch.no_grad():
            for one in made.parameters():
                one.add_(0.2 * torch.randn(one.shape, generator=torch.Generator().manual_seed(seed + one.numel())))
        found[name] = type(made)(made.config).double().eval()
        found[name].load_state_dict(made.state_dict())
    return found


def outputs(model: Any, tokenizer: Any) -> dict[str, Any]:
    """Return the suite's outputs on every part."""
    found = {}
    for name, part in PARTS.items():
        rows = datasets.Dataset.from_list(part)
        plain = MODALITY.predict(model, tokenizer, rows, MODALITY.encode(rows, tokenizer))
        request = GenerationRequest(split=name, rows=rows, positions=np.arange(len(rows)), max_length=None)
        found[name] = MODALITY.add_generated(plain, model, tokenizer, request)
    return found


# The plain implementation, which imports nothing of the suite.


def p(model: Any, tokenizer: Any, question: str, answer: str) -> float:
    """Return the probability of an answer and its end, to the power of one over its tokens."""
    ids = [*tokenizer(f"{question} {answer}")["input_ids"], tokenizer.eos_token_id]
    first = len(tokenizer(question)["input_ids"])
    with torch.no_grad():
        scores = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    logs = [float(scores[place - 1, ids[place]]) for place in range(first, len(ids))]
    return math.exp(sum(logs) / len(logs))


def ratios(model: Any, tokenizer: Any, part: list[Mapping[str, Any]]) -> list[float]:
    """Return the truth ratio of every row."""
    found = []
    for row in part:
        wrong = [p(model, tokenizer, row["question"], one) for one in row["perturbed_answer"]]
        right = p(model, tokenizer, row["question"], row["paraphrased_answer"] or row["answer"])
        found.append(math.prod(wrong) ** (1 / len(wrong)) / right)
    return found


def recall(text: str, reference: str) -> float:
    """Return the share of the reference's words in the longest common subsequence; texts here are plain words."""
    one, other = (each.lower().replace(".", " ").replace("?", " ").split() for each in (text, reference))
    lengths = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, word in enumerate(one):
        for j, wanted in enumerate(other):
            same = lengths[i][j] + 1
            lengths[i + 1][j + 1] = same if word == wanted else max(lengths[i][j + 1], lengths[i + 1][j])
    return lengths[-1][-1] / len(other)


def mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def utility(model: Any, tokenizer: Any, texts: Mapping[str, list[str]]) -> float:
    """Return the harmonic mean of nine values."""
    values = []
    for name, group in (("retain", None), ("ood", "real_authors"), ("ood", "world_facts")):
        rows = [(row, text) for row, text in zip(PARTS[name], texts[name], strict=True)
                if group in (None, row["group"])]  # fmt: skip
        sure = []
        for row, _ in rows:
            own = p(model, tokenizer, row["question"], row["answer"])
            every = sum(p(model, tokenizer, row["question"], one) for one in row["options"])
            sure.append(own / every if group else own)
        values += [mean(sure), mean(recall(text, row["answer"]) for row, text in rows)]
        values.append(mean(max(0.0, 1 - one) for one in ratios(model, tokenizer, [row for row, _ in rows])))
    return len(values) / sum(1 / one for one in values)


def smirnov(one: list[float], other: list[float]) -> float:
    """Return the exact p-value of two equally large samples without ties, by counting lattice paths."""
    n = len(one)
    marks = [value in one for value in sorted([*one, *other])]
    steps = [0]
    for mark in marks:
        steps.append(steps[-1] + (1 if mark else -1))
    largest = max(map(abs, steps))
    paths = {0: 1}
    for _ in range(2 * n):
        new: dict[int, int] = {}
        for place, count in paths.items():
            for step in (-1, 1):
                if abs(place + step) < largest:
                    new[place + step] = new.get(place + step, 0) + count
        paths = new
    return 1 - paths.get(0, 0) / math.comb(2 * n, n)


def test_the_numbers_of_tofu_are_those_of_a_plain_implementation(models: dict[str, Any]) -> None:
    tokenizer = models["tokenizer"]
    found = {name: outputs(models[name], tokenizer) for name in ("model", "retrained")}
    # Texts are compared with greedy decoding elsewhere; some words of theirs are put right, so that no recall is 0.
    texts = {}
    for name, part in found["model"].items():
        written = [f"{text} {row['answer'].split()[0]}" for text, row in zip(part.answers.generated, PARTS[name],
                                                                             strict=True)]  # fmt: skip
        texts[name] = written
        found["model"][name] = replace(part, answers=replace(part.answers, generated=np.array(written, dtype=object)))
    numbers = tofu_numbers(found["model"], found["retrained"])

    model, forget = models["model"], PARTS["forget"]
    own, others = (ratios(models[name], tokenizer, forget) for name in ("model", "retrained"))
    assert max(own) > 1.01 and min(own) < 0.99 and all(a != b for a, b in pairwise(sorted([*own, *others])))
    expected = {
        "truth_ratio": mean(min(one, 1 / one) for one in own),
        "probability": mean(p(model, tokenizer, row["question"], row["answer"]) for row in forget),
        "rouge_l": mean(recall(text, row["answer"]) for text, row in zip(texts["forget"], forget, strict=True)),
        "model_utility": utility(model, tokenizer, texts),
        "forget_quality": smirnov(own, others),
    }
    assert numbers == pytest.approx(expected, abs=TOLERANCE, rel=0)
    assert all(0 < one <= 1 for one in numbers.values())


def test_the_example_of_the_page_prints_the_numbers_of_every_unlearned_model(
    models: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = (one for one in blocks(page("language_models"), "python") if "tofu_numbers" in one)
    found = {Path(name): outputs(models[name], models["tokenizer"]) for name in ("model", "retrained")}
    group = SimpleNamespace(retrained={0: Path("retrained")}, unlearned={Path("model"): None}, outputs=found.get)
    monkeypatch.setattr(setting, "load_setting", lambda *_, **__: None)
    monkeypatch.setattr(group_module, "find_group", lambda *_: group)
    exec(compile(example, "an example", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == f"model {tofu_numbers(found[Path('model')], found[Path('retrained')])}\n"
