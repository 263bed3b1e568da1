import errno
from hashlib import sha256

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy.special import log_softmax, logit, softmax
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput

from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.inference.predict import predict
from mubench.trainers.inference.storage import hash_outputs, outputs_by_split, read_outputs, write_outputs


def outputs(rows=7, classes=3, seed=0, prefix="row"):
    generator = np.random.default_rng(seed)
    return ClassOutputs(
        ids=np.array([f"{prefix}{i}" for i in range(rows)]),
        logits=generator.normal(size=(rows, classes), scale=3).astype(np.float32),
        labels=generator.integers(0, classes, rows),
    )


def test_derived_numbers_equal_scipys():
    one = outputs()
    p = softmax(one.logits.astype(float), axis=1)
    s = p[np.arange(7), one.labels]
    np.testing.assert_allclose(one.probabilities, p)
    np.testing.assert_allclose(one.log_probabilities, log_softmax(one.logits.astype(float), axis=1))
    np.testing.assert_allclose(one.true_probability, s)
    np.testing.assert_allclose(one.log_odds, logit(s))
    np.testing.assert_allclose(one.entropy, -(p * np.log(p)).sum(axis=1))
    np.testing.assert_array_equal(one.correct, p.argmax(axis=1) == one.labels)


def test_log_odds_do_not_round_where_the_probability_does():
    logits = np.array([[60.0, 0, 0], [90.0, 0, 0]], dtype=np.float32)
    one = ClassOutputs(np.array(["a", "b"]), logits, np.zeros(2, dtype=np.int64))
    assert one.true_probability[0] == one.true_probability[1] == 1.0
    np.testing.assert_allclose(one.log_odds, [60 - np.log(2), 90 - np.log(2)])


def test_given_log_odds_leave_the_other_classes_their_proportions():
    one, wanted = outputs(), np.array([-20, -2.5, 0, 0.7, 3, 9, 30])
    found = one.with_log_odds(wanted)
    np.testing.assert_allclose(found.log_odds, wanted, atol=1e-5)
    others = np.arange(3) != one.labels[:, None]
    np.testing.assert_array_equal(found.logits[others], one.logits[others])


def test_select_returns_rows_in_the_order_of_the_ids():
    one = outputs(12)
    picked = one.select(["row10", "row2", "row7"])
    np.testing.assert_array_equal(picked.logits, one.logits[[10, 2, 7]])
    np.testing.assert_array_equal(picked.labels, one.labels[[10, 2, 7]])


def test_select_names_a_missing_row():
    with pytest.raises(ValueError, match="none for 1 of them, such as 'row99'"):
        outputs().select(["row1", "row99"])


@pytest.mark.parametrize(
    ("ids", "logits", "labels", "message"),
    [
        (["a", "a"], np.zeros((2, 3)), [0, 0], "2 different example ids, got 1"),
        (["a", "b"], np.zeros((2, 3)), [0, 3], r"labels in 0\.\.2, got 0\.\.3"),
        (["a", "b"], np.zeros((3, 3)), [0, 0], r"\(2, K >= 2\) logits"),
        (["a", "b"], np.zeros((2, 1)), [0, 0], r"\(2, K >= 2\) logits"),
    ],
)
def test_wrong_shapes_labels_and_ids_are_refused(ids, logits, labels, message):
    with pytest.raises(ValueError, match=message):
        ClassOutputs(np.array(ids), logits.astype(np.float32), np.array(labels))


def test_files_hold_exactly_what_was_written(tmp_path):
    splits = {"train": outputs(9), "test": outputs(4, seed=1)}
    splits["test"].logits[2, 1] = np.nan
    write_outputs(tmp_path / "reference", splits)
    write_outputs(tmp_path / "reference", {**splits, "ood": outputs(2)})
    again = read_outputs(tmp_path / "reference")
    assert set(again) == {"train", "test", "ood"}
    for name, one in splits.items():
        for part in ("ids", "logits", "labels"):
            np.testing.assert_array_equal(getattr(again[name], part), getattr(one, part))
    assert again["train"].logits.dtype == np.float32
    assert [path.name for path in tmp_path.iterdir()] == ["reference"]


def test_a_failed_write_leaves_the_old_files(tmp_path, monkeypatch):
    write_outputs(tmp_path / "reference", {"test": outputs(4)})
    write, written = pq.write_table, []

    def until_the_disk_is_full(table, path, **settings):
        if written:
            raise OSError(errno.ENOSPC, "no space left")
        written.append(path)
        write(table, path, **settings)

    monkeypatch.setattr(pq, "write_table", until_the_disk_is_full)
    with pytest.raises(OSError, match="no space left"):
        write_outputs(tmp_path / "reference", {"test": outputs(6), "train": outputs(5)})
    assert written
    assert len(read_outputs(tmp_path / "reference")["test"]) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["reference"]


def test_damaged_and_missing_files_are_one_line_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no \.parquet file"):
        read_outputs(tmp_path / "reference")
    write_outputs(tmp_path / "reference", {"test": outputs(50)})
    path = tmp_path / "reference" / "test.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="whole outputs file") as caught:
        read_outputs(tmp_path / "reference")
    assert "\n" not in str(caught.value)


def test_the_sum_of_a_file_replaced_while_it_was_read_is_its_own(tmp_path, monkeypatch):
    folder = tmp_path / "reference"
    write_outputs(folder, {"test": outputs(50, seed=1)})
    path, expected = folder / "test.parquet", hash_outputs(folder)
    new = path.read_bytes()
    write_outputs(folder, {"test": outputs(50)})

    def read(self):
        with self.open("rb") as file:
            data = file.read()
        path.write_bytes(new)
        return data

    monkeypatch.setattr(type(path), "read_bytes", read)
    read_outputs(folder)
    assert hash_outputs(folder) == expected


def test_files_that_are_not_those_recorded_are_refused(tmp_path):
    folder = tmp_path / "reference"
    recorded = write_outputs(folder, {"test": outputs(50), "train": outputs(9)})
    assert recorded == {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    whole = hash_outputs(folder, recorded)
    assert len(read_outputs(folder, recorded)["test"]) == 50 and hash_outputs(folder) == whole
    write_outputs(folder, {"test": outputs(50, seed=1), "train": outputs(9)})
    assert hash_outputs(folder) != whole
    for read in (read_outputs, hash_outputs):
        with pytest.raises(ValueError, match=r"test\.parquet as it was written, got sha256 \w{12}, not \w{12}$"):
            read(folder, recorded)
        with pytest.raises(
            ValueError, match=r"expected test\.parquet in .*reference, got test\.parquet, train\.parquet$"
        ):
            read(folder, {"test.parquet": "0" * 64})


def test_view_has_forget_and_retain_in_place_of_train():
    splits = {"train": outputs(6), "test": outputs(3)}
    views = outputs_by_split(splits, ["row4", "row0"], ["row1", "row2", "row3", "row5"])
    assert set(views) == {"forget", "retain", "test"}
    np.testing.assert_array_equal(views["forget"].logits, splits["train"].logits[[4, 0]])
    with pytest.raises(ValueError, match="share no row, got 1 such as 'row4'"):
        outputs_by_split(splits, ["row4"], ["row4"])


class Noisy(nn.Module):
    """Differs between train and eval mode, by dropout and by BatchNorm statistics."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
        self.body[0].eval()  # a frozen part stays frozen

    def forward(self, x):
        assert not torch.is_grad_enabled()
        return SequenceClassifierOutput(logits=self.body(x))


def collate(items):
    return {key: torch.stack([torch.as_tensor(item[key]) for item in items]) for key in items[0]}


def test_predict_runs_in_eval_mode_and_restores_the_model():
    model = Noisy()
    model.train()
    model.body[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rows = [{"x": torch.randn(4), "labels": i % 3} for i in range(11)]
    logits = predict(model, rows, collate, batch_size=4)
    assert model.training and model.body[1].training and not model.body[0].training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    model.eval()
    with torch.no_grad():
        expected = model.body(torch.stack([row["x"] for row in rows])).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    assert logits.dtype == np.float32 and rows[0]["labels"] == 0


def test_predict_refuses_no_rows():
    with pytest.raises(ValueError, match="at least 1 row"):
        predict(Noisy(), [], collate)
