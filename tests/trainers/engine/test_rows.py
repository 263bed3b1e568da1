"""Rows in batches: views are collated at once, other rows one by one, and memory is shared out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import peft
import pytest
import torch
from torch.utils.data import Subset
from transformers import DataCollatorForSeq2Seq, DataCollatorWithPadding, default_data_collator

from mubench import trainers
from mubench.trainers.engine import rows as rows_module
from mubench.trainers.engine.rows import (
    CPU,
    RowView,
    UsedColumns,
    collate_rows,
    drop_unused_columns,
    fetch_rows,
    memory_share,
    rows_are_fixed,
)
from mubench.trainers.inference.predict import predict
from mubench.trainers.unlearning.epoch_evaluation import compute_outputs
from mubench.trainers.unlearning.forget_retain import ForgetRetain, collate_with_split
from tests.fixtures import toy


class Stacked:
    """The rows of toy models in one array, and how many batches were made of it."""

    fixed = True

    def __init__(self, name: str = "vit") -> None:
        self.rows, self.batches = toy.rows(name), 0
        self.labels = torch.tensor([int(row["labels"]) for row in self.rows])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]

    def __getitems__(self, rows: Sequence[int]) -> RowView:
        return RowView(self, rows)

    def batch(self, rows: Any, device: torch.device) -> dict[str, torch.Tensor]:
        self.batches += 1
        return dict(default_data_collator([self.rows[row] for row in rows]))


def split(source: Any) -> dict[str, Any]:
    """Return forget and retain rows as subsets of one source, in no order."""
    order = np.random.default_rng(0).permutation(toy.ROWS).tolist()
    return {"forget": Subset(source, order[: toy.FORGET]), "retain": Subset(source, order[toy.FORGET :])}


@pytest.mark.parametrize("rows", [[0, 1], [toy.FORGET + 3, 2, 2, toy.ROWS - 1, 0], [toy.ROWS - 2, toy.FORGET]])
def test_a_batch_of_both_splits_is_made_at_once_and_as_row_by_row(rows: list[int]) -> None:
    source, plain = Stacked(), ForgetRetain(split(toy.rows("vit")))
    data = ForgetRetain(split(source))
    found, expected = (
        collate_with_split(fetch_rows(one, rows), default_data_collator, hashes=True) for one in (data, plain)
    )
    assert found.keys() == expected.keys() and source.batches == 1
    assert all(torch.equal(found[key], expected[key]) for key in found)
    items = [data[row] for row in rows]
    assert all(
        item[1:] == other[1:] and item[0] is other[0]
        for item, other in zip(data.__getitems__(rows), items, strict=True)
    )


def test_splits_of_two_sources_are_collated_row_by_row() -> None:
    data = ForgetRetain({"forget": Stacked(), "retain": Stacked()})
    rows = [toy.ROWS + 1, 0, toy.ROWS]
    found = collate_with_split(fetch_rows(data, rows), default_data_collator)
    assert torch.equal(found["labels"], default_data_collator([toy.rows("vit")[row] for row in (1, 0, 0)])["labels"])
    assert found["forget"].tolist() == [False, True, False] and found["index"].tolist() == rows


def test_a_method_trains_on_views_as_on_rows(tmp_path: Path) -> None:
    source = Stacked()
    models = [
        toy.trainer("scrub", toy.build("vit"), split(rows), tmp_path, num_train_epochs=2)
        for rows in (toy.rows("vit"), source)
    ]
    for trainer in models:
        trainer.train()
    assert source.batches and toy.same(models[0].model, toy.snapshot(models[1].model))


def test_predict_reads_whole_batches() -> None:
    source, model = Stacked(), toy.build("vit")
    found = predict(model, Subset(source, [3, 1, 2, 0, 4]), default_data_collator, batch_size=2)
    assert source.batches == 3
    rows = [source.rows[row] for row in (3, 1, 2, 0, 4)]
    assert np.array_equal(found, predict(model, rows, default_data_collator, batch_size=2))


def test_labels_are_read_without_making_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, rows = split(Stacked()), np.array([toy.FORGET + 1, 0, 3])
    expected = [int(ForgetRetain(parts)[row][0]["labels"]) for row in rows]
    monkeypatch.setattr(Stacked, "__getitem__", lambda *_: pytest.fail("a row was made"))
    assert ForgetRetain(parts).classes(rows).tolist() == expected
    found = compute_outputs(toy.build("vit"), parts["forget"], default_data_collator)
    assert found.labels.tolist() == ForgetRetain(parts).classes(np.arange(toy.FORGET)).tolist()  # type: ignore[attr-defined]


def test_only_the_default_collator_is_replaced() -> None:
    source = Stacked()
    assert collate_rows(fetch_rows(source, [1, 0]), lambda rows: {"rows": rows}) == {"rows": source.rows[1::-1]}
    assert not source.batches


def test_rows_are_fixed_where_the_data_set_below_all_subsets_declares_it() -> None:
    assert rows_are_fixed(Subset(Subset(Stacked(), [0, 1]), [0])) and not rows_are_fixed(Subset([1, 2], [0]))  # type: ignore[arg-type]
    assert ForgetRetain(split(Stacked())).fixed and ForgetRetain({"retain": Stacked()}).fixed
    assert not ForgetRetain({"forget": Stacked(), "retain": toy.rows("vit")}).fixed


@pytest.mark.parametrize(("limit", "expected"), [(None, 100), ("max", 100), ("240", 50), ("30", 0)])
def test_a_share_of_the_free_memory_of_machine_and_container(
    limit: str | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tmp_path / "limit", tmp_path / "used"
    if limit is not None:
        files[0].write_text(f"{limit}\n")
        files[1].write_text("40\n")
    monkeypatch.setattr(rows_module, "CONTAINER", files)
    monkeypatch.setattr(rows_module.psutil, "virtual_memory", lambda: SimpleNamespace(available=400))
    assert memory_share() == memory_share(CPU) == expected


EXTRA = {"text": "some words", "idx": 3, "tags": ["a", "b"]}


def test_columns_that_the_forward_pass_does_not_name_are_dropped_from_any_data_set() -> None:
    model, plain = toy.build("bert"), toy.rows("bert", 4)
    rows = [{**row, **EXTRA, "label": 1, "row_key": 5} for row in plain]
    kept = {*plain[0], "label", "row_key"}  # labels, and the key of diffusion's noise
    for given in (rows, tuple(rows), Subset(rows, range(4))):
        found = drop_unused_columns(given, model)
        assert isinstance(found, UsedColumns) and len(found) == 4
        assert {*found[3]} == {*found.__getitems__([0, 3])[1]} == kept
        assert torch.equal(found[3]["input_ids"], plain[3]["input_ids"])
    table = datasets.Dataset.from_list([{**row, **EXTRA} for row in toy.rows("gpt2", 4)])
    assert {*drop_unused_columns(table, toy.build("gpt2")).column_names} == {"input_ids", "attention_mask", "labels"}


def test_rows_without_unused_columns_stay_the_same_object() -> None:
    class Wrapper(torch.nn.Module):
        def forward(self, **inputs: Any) -> Any:
            return inputs

    model, plain = toy.build("bert"), toy.rows("bert", 2)
    texts = [{"text": "a", "labels": 1}]  # which a collator will tokenize
    fixed, stream = Stacked("bert"), iter(plain)
    for rows in (plain, texts, fixed, stream, [], None, [3]):
        assert drop_unused_columns(rows, model) is rows
    assert drop_unused_columns(rows := [{**plain[0], **EXTRA}], Wrapper()) is rows


def test_adapters_take_what_their_model_takes() -> None:
    model = peft.get_peft_model(toy.build("bert"), peft.LoraConfig(target_modules=["query"]))
    (found,) = [{*row} for row in drop_unused_columns([{**toy.rows("bert", 1)[0], **EXTRA}], model)]
    assert found == {"input_ids", "attention_mask", "labels"}


@pytest.mark.parametrize("method", ["ScrubTrainer", "NpoTrainer"])
def test_a_leftover_text_column_changes_nothing(method: str, tmp_path: Path) -> None:
    """The usual state of rows after ``map(tokenizer)``, with the collator that pads: every column reaches it."""
    name, weights = {"ScrubTrainer": "bert", "NpoTrainer": "gpt2"}[method], []
    trainer_class, own = getattr(trainers, method), {"num_train_epochs": 1, "report_to": "none", "save_strategy": "no"}
    for extra in ({}, EXTRA):
        rows = [{key: torch.as_tensor(value).tolist() for key, value in row.items()} | extra for row in toy.rows(name)]
        sets = {"forget": datasets.Dataset.from_list(rows[:6]), "retain": rows[6:]}
        arguments = trainer_class.arguments(output_dir=str(tmp_path), use_cpu=True, disable_tqdm=True, **own)
        pad = DataCollatorForSeq2Seq(toy.tokenizer()) if name == "gpt2" else DataCollatorWithPadding(toy.tokenizer())
        model = toy.build(name)
        given = {"train_dataset": sets, "eval_dataset": rows[:4], "data_collator": pad}
        trainer = trainer_class(model, arguments, **given)
        trainer.train()
        weights.append(
            [*(one.detach().clone() for one in trainer.model.parameters()), trainer.evaluate()["eval_loss"]]
        )
    assert all(map(torch.equal, weights[0][:-1], weights[1][:-1])) and weights[0][-1] == weights[1][-1]


def test_judge_drops_them_too() -> None:
    models, found = [toy.build("bert", seed=seed) for seed in range(4)], []
    for extra in ({}, EXTRA):
        rows = [{**row, **extra} for row in toy.rows("bert", 40)]
        data = {"forget": rows[:10], "retain": rows[10:20], "test": rows[20:]}
        found.append(trainers.judge(model=models[0], base=models[1], retrained=models[2:], data=data).metrics)
    assert found[0] == found[1] != {}
