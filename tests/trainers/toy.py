"""Tiny models of every kind with their rows, and short ways to train them; nothing is random beyond its seed."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ResNetConfig,
    ResNetForImageClassification,
    T5Config,
    T5ForConditionalGeneration,
    TrainerCallback,
    ViltConfig,
    ViltForImagesAndTextClassification,
    ViTConfig,
    ViTForImageClassification,
    default_data_collator,
)

from mubench.hub_builders.arguments import TaskArguments
from mubench.hub_builders.checkpoints import last_checkpoint
from mubench.hub_builders.modalities.diffusion import Said
from mubench.hub_builders.modalities.seq2seq import shifted
from mubench.hub_builders.modalities.writing import make_tokenizer
from mubench.hub_builders.tasks import Kind
from mubench.hub_builders.terms import IGNORED, aligned
from mubench.hub_builders.training import TaskTrainer
from mubench.hub_builders.transforms import pairs, pictures
from mubench.trainers.base import UnlearningArguments, UnlearningTrainer
from mubench.trainers.methods import METHODS

BACKBONES = ("resnet", "vit", "bert")
WRITERS = ("gpt2", "t5")
PAINTERS = ("painter",)
# Methods for models with a list of blocks, which a painter is not; test_drawing.py has them on a U-Net.
IN_BLOCKS = ("cf_k", "eu_k", "rmu")
KINDS: dict[str, Kind] = {
    "resnet": "image_classification",
    "vit": "image_classification",
    "bert": "text_classification",
    "gpt2": "text_generation",
    "t5": "summarization",
    "vilt": "image_pair_classification",
    "painter": "text_to_image",
}
# What makes a method quick here, or move something.
HERE: dict[str, dict[str, Any]] = {"ssd": {"alpha": 1.0}, "amun": {"steps": 5}, "unsir": {"noise_steps": 3}}
# Methods for models that read numbers, or whose logits come from a linear layer: a table is neither.
NO_TABLE = ("boundary_shrink", "boundary_expand", "amun", "unsir", "msg", "ct")
CLASSES = 4
EMPTY = (1, 0, 0)  # what a caption without words is
FORGET = 6
ROWS = 18


class EvalBatchNorm(torch.nn.BatchNorm2d):
    """Stays in eval mode, so that rows of a batch do not see each other."""

    def train(self, mode: bool = True) -> EvalBatchNorm:
        return super().train(False)


def build(name: str, *, seed: int = 0, dropout: float = 0.0, coupled: bool = False) -> Any:
    """Return a tiny model; ``coupled`` leaves BatchNorm as it is."""
    small: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_labels": CLASSES,
    }
    small |= {"intermediate_size": 32, "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == "vit":
            return ViTForImageClassification(ViTConfig(image_size=8, patch_size=4, **small))
        if name == "bert":
            return BertForSequenceClassification(BertConfig(vocab_size=30, max_position_embeddings=8, **small))
        if name == "vilt":
            places = {"max_position_embeddings": 8, "image_size": 8, "patch_size": 4, "modality_type_vocab_size": 3}
            config = ViltConfig(vocab_size=30, num_images=2, **places, **small)
            return ViltForImagesAndTextClassification(config).train()
        if name == "painter":
            return Painter().train()
        if name in WRITERS:
            return _writer(name, dropout)
        config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
        config.num_labels = CLASSES
        model = ResNetForImageClassification(config)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d) and not coupled:
            module.__class__ = EvalBatchNorm
    return model.train()


def _writer(name: str, dropout: float) -> PreTrainedModel:
    ends = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1}
    if name == "t5":
        size = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "dropout_rate": dropout}
        config = T5Config(vocab_size=VOCABULARY, decoder_start_token_id=0, **size, **ends)
        return T5ForConditionalGeneration(config).train()
    drops = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
    width = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 24, "initializer_range": 0.2}
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, **width, **drops, **ends)).train()


def tokenizer() -> PreTrainedTokenizerBase:
    """Return a tokenizer of letters and a few words, for models that write."""
    return make_tokenizer(["I do not know that. abcdefghijklmnopqrstuvwxyz"])


VOCABULARY = len(tokenizer())


def collator(name: str) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Return what makes a batch of rows."""
    return _padded if name in WRITERS else default_data_collator


def _padded(items: list[dict[str, Any]]) -> dict[str, Any]:
    parts = {
        key: torch.nn.utils.rnn.pad_sequence(
            [torch.as_tensor(row[key]) for row in items], True, IGNORED if key == "labels" else 0
        )
        for key in items[0]
    }
    if (parts["labels"][:, 0] != IGNORED).all():  # answers alone, which a decoder writes
        parts["decoder_input_ids"] = shifted(parts["labels"], 0, 0)
    return parts


def rows(name: str, count: int = ROWS) -> list[dict[str, Any]]:
    """Return model-ready rows."""
    if name == "painter":
        return [_spoiled(i) for i in range(count)]
    return [
        _text(name, i) if name in WRITERS else {**_inputs(name, i), "labels": (i * 7 + i // 3) % CLASSES}
        for i in range(count)
    ]


def _inputs(name: str, i: int) -> dict[str, Any]:
    random = torch.Generator().manual_seed(i)
    words = {}
    if name in ("bert", "vilt"):
        mask = (torch.arange(6) < 3 + i % 4).long()
        words = {"input_ids": torch.randint(1, 30, (6,), generator=random) * mask, "attention_mask": mask}
    if name == "bert":
        return words
    shape = (2, 3, 8, 8) if name == "vilt" else (3, 8, 8)
    masks = {"pixel_mask": torch.ones(2, 8, 8, dtype=torch.long)} if name == "vilt" else {}
    return {**words, "pixel_values": torch.randn(shape, generator=random), **masks}


def _spoiled(i: int) -> dict[str, Any]:
    """Return a spoiled picture, its caption, and the noise."""
    random = torch.Generator().manual_seed(i)
    caption = torch.randint(2, 9, (3,), generator=random)
    sample, noise = torch.randn(2, 2, 3, 3, generator=random)
    return {"sample": sample, "timestep": i % 5, "input_ids": caption, "labels": noise}


def _text(name: str, i: int) -> dict[str, Any]:
    """Return a prompt and an answer, whose lengths differ from row to row."""
    random = torch.Generator().manual_seed(i)
    prompt, answer = (torch.randint(3, VOCABULARY, (n,), generator=random).tolist() for n in (3 + i % 2, 2 + i % 3))
    answer = [*answer, 1]
    if name == "t5":
        return {"input_ids": [*prompt, 1], "attention_mask": [1] * (len(prompt) + 1), "labels": answer}
    labels = [IGNORED] * len(prompt) + answer
    return {"input_ids": prompt + answer, "attention_mask": [1] * len(labels), "labels": labels}


def names_for(method: str, *, writers: bool = False, painters: bool = False) -> tuple[str, ...]:
    """Return the tiny models that a method is tried on: those of `BACKBONES`, and others only where it takes none.

    Args:
        method: Method key.
        writers: Whether to try it on models that write all the same.
        painters: Whether to try it on one that draws all the same, unless it needs blocks.
    """
    families = METHODS[method].families or tuple(KINDS)
    fitting = [name for name, kind in KINDS.items() if kind in METHODS[method].kinds and name in families]
    drawing = PAINTERS if painters and method not in IN_BLOCKS else ()
    usual = (*BACKBONES, *(WRITERS if writers else ()), *drawing)
    return tuple(name for name in fitting if name in usual) or tuple(fitting)


def everywhere(cases: Iterable[str], method: Callable[[str], str] = str, *, painters: bool = True) -> list[Any]:
    """Return every case with every tiny model that its method takes; all but one of each sort in turn are slow.

    Args:
        cases: Names of cases, or of methods.
        method: Gives the method of a case.
        painters: See `names_for`.
    """
    found = []
    for i, case in enumerate(cases):
        names = names_for(method(case), writers=True, painters=painters)
        quick = _one_of_each(names, i)
        found += [pytest.param(case, name, marks=() if name in quick else pytest.mark.slow) for name in names]
    return found


def spread(methods: Iterable[str]) -> list[tuple[str, str]]:
    """Return every method with one tiny model in turn of each sort: those that tell classes, that write, that draw."""
    names = {method: names_for(method, writers=True, painters=True) for method in methods}
    return [(method, name) for i, method in enumerate(names) for name in _one_of_each(names[method], i)]


def _one_of_each(names: Sequence[str], turn: int) -> list[str]:
    telling = [name for name in KINDS if name not in (*WRITERS, *PAINTERS)]
    sorts = [[name for name in names if name in sort] for sort in (telling, WRITERS, PAINTERS)]
    return [some[turn % len(some)] for some in sorts if some]


def name_for(method: str) -> str:
    """Return the one tiny model that will do: a ViT wherever a method takes one."""
    return max(names_for(method), key=lambda name: name == "vit")


def edits(method: str) -> bool:
    """Say whether a method edits the weights once in place of training."""
    return METHODS[method].edit is not UnlearningTrainer.edit


def broken(name: str, which: Iterable[int] = range(ROWS)) -> list[dict[str, Any]]:
    """Return rows of which some are NaN; BERT gets embeddings, since no token is NaN."""
    made = rows(name)
    key = next((name for name in ("pixel_values", "sample") if name in made[0]), "inputs_embeds")
    for i, row in enumerate(made):
        if key == "inputs_embeds":
            row[key] = torch.eye(len(row.pop("input_ids")), 16)
        if i in which:
            row[key] = row[key] * float("nan")
    return made


def sides(everything: list[dict[str, Any]], forget: int = FORGET) -> dict[str, list[dict[str, Any]]]:
    return {"forget": everything[:forget], "retain": everything[forget:]}


def sides_for(method: str | type[UnlearningTrainer], everything: list[dict[str, Any]]) -> dict[str, Any]:
    """Return both sides; where a method forgets whole classes, the forget rows are one."""
    kind = METHODS[method] if isinstance(method, str) else method
    if kind.whole_classes:
        labels = [0 if i < FORGET else 1 + row["labels"] % (CLASSES - 1) for i, row in enumerate(everything)]
        everything = [{**row, "labels": label} for row, label in zip(everything, labels, strict=True)]
    return sides(everything)


def settings(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return training arguments for plain, unclipped gradient descent in steps of 8 rows."""
    plain = {"optim": "sgd", "learning_rate": 0.05, "lr_scheduler_type": "constant", "max_grad_norm": 0.0}
    quiet = {"report_to": "none", "save_strategy": "no", "use_cpu": True, "disable_tqdm": True, "log_level": "error"}
    size = {"per_device_train_batch_size": 8, "num_train_epochs": 2, "logging_strategy": "no"}
    return {"output_dir": str(folder), **plain, **quiet, **size, **changes}


def transform(batch: Any, chances: torch.Tensor) -> dict[str, Any]:
    """Change pictures, or pairs of them, by the numbers of their rows."""
    return (pairs if batch["pixel_values"].ndim == 5 else pictures)(batch, chances)


def task_trainer(model: torch.nn.Module, data: Any, folder: Path, **changes: Any) -> TaskTrainer:
    args = TaskArguments(**settings(folder, **changes))
    return TaskTrainer(model=model, args=args, train_dataset=data, transform=transform)


def trainer(
    method: str | type[UnlearningTrainer],
    model: torch.nn.Module,
    data: Any,
    folder: Path,
    *,
    given: dict[str, Any] | None = None,
    **changes: Any,
) -> Any:
    """Return a trainer of a method; ``given`` goes to the trainer, all else to its arguments."""
    kind = METHODS[method] if isinstance(method, str) else method
    here = HERE.get(method, {}) if isinstance(method, str) else {}
    if kind.needs_validation:
        here = {"stop_below": -2.0}  # never
    args: UnlearningArguments = kind.arguments(**settings(folder, **{**here, **changes}))
    writer = getattr(getattr(model, "config", None), "vocab_size", None) == VOCABULARY
    extra: dict[str, Any] = {"data_collator": _padded, "processing_class": tokenizer()} if writer else {}
    extra["transform"] = transform
    if kind.needs_validation:
        extra["eval_dataset"] = {"validation": data.get("retain", [])[:4]}
    if method == "esd":
        extra["empty"] = EMPTY
    return kind(model, args, train_dataset=data, **{**extra, **(given or {})})


def smooth(method: str) -> dict[str, Any]:
    """Return what keeps rounding from being blown up: after a step the sign of a weight that was 0 is noise."""
    return {"max_steps": 1} if method == "l1_sparse" else {}


def trained(method: str | type[UnlearningTrainer], name: str, folder: Path, **changes: Any) -> PreTrainedModel:
    """Return a tiny model after a method."""
    model = build(name)
    trainer(method, model, sides_for(method, rows(name)), folder, **changes).train()
    return model


def step(trainer: Any, rows: Any) -> torch.Tensor:
    """Return the loss of one optimizer step on these rows."""
    batch = trainer.train_collator([trainer.train_dataset[int(i)] for i in rows])
    (batch,), count = trainer.get_batch_samples(iter([batch]), 1, torch.device("cpu"))
    batch = aligned(trainer.model, batch)
    loss: torch.Tensor = trainer.compute_loss(trainer.model, batch, num_items_in_batch=count)
    return loss


def reversed_batch(batch: dict[str, Any]) -> dict[str, Any]:
    """Return a batch whose rows come the other way round."""
    return {key: value.flip(0) for key, value in batch.items()}


def inputs(data: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Return a batch of rows without their labels."""
    batch: dict[str, torch.Tensor] = (_padded if isinstance(data[0]["labels"], list) else default_data_collator)(data)
    del batch["labels"]
    return batch


@functools.cache
def elsewhere(name: str) -> dict[str, torch.Tensor]:
    """Return weights and buffers of another tiny model of this name, to move one to."""
    return snapshot(build(name, seed=1))


def gradients(logits: torch.Tensor, model: torch.nn.Module, slopes: torch.Tensor) -> list[torch.Tensor]:
    """Return the gradients of all weights that go with these gradients of the logits."""
    weights = list(model.parameters())
    found = torch.autograd.grad(logits, weights, slopes, allow_unused=True, materialize_grads=True)
    return list(found)


def snapshot(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of all weights and buffers."""
    return copy.deepcopy(dict(model.state_dict()))


def same(model: torch.nn.Module, other: dict[str, torch.Tensor]) -> bool:
    """Say whether all weights and buffers are equal to the bit."""
    state = model.state_dict()
    return state.keys() == other.keys() and all(torch.equal(state[key], other[key]) for key in state)


def distance(model: torch.nn.Module, other: dict[str, torch.Tensor]) -> float:
    """Return the largest difference of any weight or buffer."""
    return max(float((value - other[key]).abs().max()) for key, value in model.state_dict().items())


class Killed(RuntimeError):
    """Stands for a killed process."""


class KillAt(TrainerCallback):
    """Kills a run after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            raise Killed


def check_resume(run: Callable[[Path], Any], folder: Path, kill: Callable[[int], int]) -> None:
    """Check that a run killed after a step and resumed ends where the uninterrupted one ends, to the bit.

    Args:
        run: Makes a fresh trainer that writes into a folder.
        folder: Where runs may write.
        kill: Step to kill at, given the steps of the whole run.
    """
    whole = run(folder / "whole")
    whole.train()
    steps = whole.state.global_step
    cut = run(folder / "cut")
    cut.add_callback(KillAt(kill(steps)))
    with pytest.raises(Killed):
        cut.train()
    found = last_checkpoint(folder / "cut")
    assert found is not None
    assert 0 < int(found.name.split("-")[1]) < kill(steps)
    resumed = run(folder / "cut")
    resumed.train(resume_from_checkpoint=str(found))
    assert resumed.state.global_step == steps
    assert same(resumed.model, snapshot(whole.model))


class Plain(torch.nn.Module):
    """A model without a config that reads pictures: two convolutions and a linear layer."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.body = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.Conv2d(4, 4, 3))
            self.head = torch.nn.Linear(4, CLASSES)

    def forward(self, x: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.head(self.body(x).tanh().mean(dim=(2, 3))))


def plain_rows(count: int = ROWS) -> list[dict[str, Any]]:
    x = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return [{"x": one, "labels": i % CLASSES} for i, one in enumerate(x)]


class Table(torch.nn.Module):
    """A model whose logits are its weights: the gradient of row i is the gradient of the logits of row i."""

    def __init__(self, count: int = ROWS, classes: int = CLASSES, seed: int = 0) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(count, classes, generator=torch.Generator().manual_seed(seed)))

    def forward(self, row: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.table[row])


class Stack(torch.nn.Module):
    """A table in a list of blocks, after one that is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList([Table(seed=1), Table()])

    def forward(self, row: torch.Tensor) -> SimpleNamespace:
        output: SimpleNamespace = self.blocks[1](row)
        return output


class Layers(torch.nn.Module):
    """A table whose entries go through a list of blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.blocks = torch.nn.ModuleList([torch.nn.Linear(CLASSES, CLASSES) for _ in range(2)])

    def forward(self, row: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.blocks[1](self.blocks[0](self.table(row).logits).relu()))


class Pair(torch.nn.Module):
    """A model with an encoder for words and one for pictures."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.words, self.pictures = torch.nn.Embedding(30, 4), torch.nn.Linear(4, 4)
            self.head = torch.nn.Linear(8, CLASSES)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, pixel_values: torch.Tensor
    ) -> SimpleNamespace:
        told, seen = self.words(input_ids).mean(1), self.pictures(pixel_values).mean(1)
        return SimpleNamespace(logits=self.head(torch.cat([told, seen], 1).tanh()))


def pair_rows() -> list[dict[str, Any]]:
    return [{**row, "pixel_values": torch.randn(3, 4, generator=torch.Generator().manual_seed(i))}
            for i, row in enumerate(rows("bert"))]  # fmt: skip


class Painter(torch.nn.Module):
    """Tells noise from a picture, with attention to the caption as `diffusers` calls it."""

    def __init__(self) -> None:
        super().__init__()
        self.text_encoder = torch.nn.Embedding(9, 4)
        self.conv = torch.nn.Conv2d(2, 4, 1)
        self.attn2 = torch.nn.ModuleDict({"to_q": torch.nn.Linear(4, 4), "to_k": torch.nn.Linear(4, 4)})
        self.out = torch.nn.Conv2d(4, 2, 1)
        self.register_buffer("places", torch.arange(3))  # which processes tell each other at every forward pass

    def fresh(self) -> Painter:
        """Return another, whose weights are drawn anew."""
        return Painter()

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, input_ids: torch.Tensor) -> Said:
        told = self.text_encoder(input_ids)
        places = self.conv(sample).flatten(2).transpose(1, 2) + 0.1 * timestep[:, None, None]
        weights = (self.attn2["to_q"](places) @ self.attn2["to_k"](told).transpose(1, 2)).softmax(-1)
        seen = (places + weights @ told).transpose(1, 2).unflatten(2, sample.shape[2:])
        return Said(self.out(seen.tanh()))


class Words(torch.nn.Module):
    """A model that writes, whose next word depends on the last one alone."""

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.table = torch.nn.Parameter(torch.randn(VOCABULARY, VOCABULARY, generator=random))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.table[input_ids])


def table_rows(count: int = ROWS, classes: int = CLASSES) -> list[dict[str, int]]:
    return [{"row": i, "labels": i % classes} for i in range(count)]
