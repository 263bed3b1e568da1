"""Outputs of language models from outside: one file gives what was written, and other tokens are refused."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.inference.token_outputs import TokenOutputs
from mubench.trainers.runs.outside_outputs import OutsideOutputs, read_outside

IDS = {"train": ["a", "b", "c", "d"], "test": ["e", "f"]}
FORGET = np.array([False, True, False, False])


def tokens(ids, seed=0):
    generator = np.random.default_rng(seed)
    lengths = np.arange(1, len(ids) + 1)
    shape = (int(lengths.sum()), 3)
    top = -np.sort(generator.random(shape), axis=1).astype(np.float32)
    true = np.arange(shape[0], dtype=np.int32)
    return TokenOutputs(np.array(ids), lengths, true, top[:, 1], top[:, 0] < -0.2, true[:, None] + np.arange(3), top)


@pytest.fixture
def setting():
    rows = {split: Dataset.from_dict({"example_id": ids}) for split, ids in IDS.items()}
    task = SimpleNamespace(kind="text_generation", key="tofu")
    ids = {"train_ids": np.array(IDS["train"]), "largest_forget_set": rows["train"].select([1, 2])}
    return SimpleNamespace(rows=rows, task=task, forget_mask=lambda ratio: FORGET, **ids)


def save(splits, path):
    tables = [one.to_table().append_column("split", pa.array([name] * len(one))) for name, one in splits.items()]
    pq.write_table(pa.concat_tables(tables), path)
    return path


@pytest.fixture
def splits():
    return {"train": tokens(IDS["train"]), "test": tokens(IDS["test"], 1)}


def test_one_file_of_tokens_is_read_as_it_was_written(splits, setting, tmp_path):
    found = OutsideOutputs(setting, 5, {}).align(read_outside(save(splits, tmp_path / "one.parquet")))
    assert {name: one.ids.tolist() for name, one in found.items()} == {
        "forget": ["b"], "retain": ["a", "c", "d"], "test": ["e", "f"],
    }  # fmt: skip
    expected = splits["train"].select(["a", "c", "d"])
    for name in ("lengths", "token_id", "token_logprob", "token_correct", "top_id", "top_logprob"):
        assert np.array_equal(getattr(found["retain"], name), getattr(expected, name))


def test_outputs_of_an_untrained_model_beside_those_of_a_base_are_not_the_bases(splits, setting):
    outside = OutsideOutputs(setting, 5, {})
    assert outside.align({**splits, "random": tokens(["b", "c"])}).keys() == outside.align(splits).keys()


def test_answer_tokens_of_another_tokenizer_are_refused(splits, setting):
    reference = OutsideOutputs(setting, 5, {}).align(splits)
    outside = OutsideOutputs(setting, 5, reference)
    assert outside.align(splits)["test"].equals(reference["test"])
    other = replace(splits["test"], token_id=splits["test"].token_id + 1)
    with pytest.raises(ValueError, match="expected the answer tokens of the reference models in split test, got"):
        outside.align({**splits, "test": other})


def test_outputs_of_another_kind_are_refused(splits, setting):
    classes = ClassOutputs(np.array(IDS["test"]), np.zeros((2, 3), dtype=np.float32), np.zeros(2, dtype=np.int64))
    with pytest.raises(ValueError, match="expected TokenOutputs of tofu, got ClassOutputs"):
        OutsideOutputs(setting, 5, {}).align({**splits, "test": classes})


def test_shifted_rows_may_be_those_of_a_larger_forget_set(splits, setting):
    outside = OutsideOutputs(setting, 5, {})
    assert outside.align({**splits, "shifted": tokens(["c", "b"])})["shifted"].ids.tolist() == ["b"]
    with pytest.raises(ValueError, match="in split shifted, got 1 unknown example ids, such as 'a'"):
        outside.align({**splits, "shifted": tokens(["a", "b"])})
