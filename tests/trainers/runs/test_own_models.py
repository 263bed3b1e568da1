"""`mubench.trainers.judge`: anybody's models, rows and references in, S and the metrics out."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from mubench.trainers import judge
from mubench.trainers.evaluation.judge import measure_model
from mubench.trainers.evaluation.reference_models import ReferenceModels
from mubench.trainers.metrics.accuracy import majority_baseline

SPLITS = ("forget", "retain", "test")


class Table(torch.nn.Module):
    """A classifier that knows its logits for every row by the row's place."""

    def __init__(self, views, splits=SPLITS):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(np.concatenate([views[split].logits for split in splits])))

    def forward(self, place):
        return SimpleNamespace(logits=self.logits[place])


def rows_of(views, splits=SPLITS):
    """Return model-ready rows by split, with the ids of the outputs."""
    data, place = {}, 0
    for split in splits:
        labels, ids = views[split].labels, views[split].ids
        data[split] = [
            {"place": torch.tensor(place + i), "labels": int(label), "example_id": str(one)}
            for i, (label, one) in enumerate(zip(labels, ids, strict=True))
        ]
        place += len(labels)
    return data


@pytest.fixture(scope="module")
def given(world):
    retrained, bases = (
        [{split: views[split] for split in SPLITS} for views in group.values()]
        for group in (world.retrained(), world.bases())
    )
    model = {split: one for split, one in world.views(saw=0.3, seed=9).items() if split in SPLITS}
    return model, retrained, bases


def arguments(given, **changes):
    model, retrained, bases = given
    tables = {"retrained": [Table(one) for one in retrained], "base": [Table(one) for one in bases]}
    return {"model": Table(model), **tables, "data": rows_of(model), **changes}


def test_models_give_what_their_outputs_give(given):
    model, retrained, bases = given
    chance = majority_baseline(retrained[0]["test"])
    references = ReferenceModels.from_outputs(dict(enumerate(retrained)), dict(enumerate(bases)), chance)
    expected = measure_model(model, references, "any")
    found = judge(**arguments(given, batch_size=50))
    assert found.metrics == expected.metrics and found.score == expected.metrics["score"].value
    assert found.parts == {name: found.metrics[name].value for name in ("row", "mean", "membership", "utility")}
    assert found.interval.low < found.score < found.interval.high and found.flags == []
    assert (found.references.retrained, found.references.bases) == ([0, 1, 2], [0, 1])
    assert found == judge(**arguments(given))


def test_retrained_models_score_high_and_the_base_zero(given, world):
    unseen = {split: world.views(saw=0.0, seed=77)[split] for split in SPLITS}
    assert judge(**arguments(given, model=Table(unseen))).score > 0.7
    base = judge(**arguments(given, model=Table(given[2][0])))
    assert base.score == 0 and base.flags == ["equals_base"]


def test_one_base_needs_no_list_and_rows_need_no_ids(given):
    model, _, bases = given
    plain = {split: [{k: v for k, v in row.items() if k != "example_id"} for row in rows]
             for split, rows in rows_of(model).items()}  # fmt: skip
    found = judge(**arguments(given, base=Table(bases[0]), data=plain))
    listed = judge(**arguments(given, base=[Table(bases[0])]))
    assert found.metrics["row"] == listed.metrics["row"]  # ids decide the folds of the attack and nothing else


def test_shifted_rows_have_their_own_row(given, world):
    splits = (*SPLITS, "shifted")
    views = [{**one, "shifted": one["forget"]} for one in (given[0], *given[1], *given[2])]
    model, *others = (Table(one, splits) for one in views)
    found = judge(model=model, retrained=others[:3], base=others[3:], data=rows_of(views[0], splits))
    assert found.metrics["row_shifted"].value == pytest.approx(found.metrics["row"].value)


def test_language_models_are_judged_on_their_answer_tokens():
    config = GPT2Config(vocab_size=40, n_embd=16, n_layer=1, n_head=2, n_positions=8)
    models = []
    for seed in range(4):
        torch.manual_seed(seed)
        models.append(GPT2LMHeadModel(config))
    generator = np.random.default_rng(0)
    data = {split: [{"input_ids": (ids := generator.integers(0, 40, 6).tolist()), "labels": [-100, -100, *ids[2:]]}
                    for _ in range(12)] for split in SPLITS}  # fmt: skip
    found = judge(model=models[0], base=models[1], retrained=models[2:], data=data)
    ids = torch.tensor([row["input_ids"] for row in data["forget"]])
    with torch.no_grad():
        right = models[0].eval()(ids).logits[:, 1:-1].argmax(dim=-1) == ids[:, 2:]
    assert found.metrics["forget_score"].value == pytest.approx(right.float().mean().item())
    assert "exact_memorisation" in found.metrics and "forget_macro_f1" not in found.metrics


class Wrong(torch.nn.Module):
    def __init__(self, logits=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.given = logits

    def forward(self, place):
        return SimpleNamespace(logits=torch.full((len(place), self.given), torch.nan)) if self.given else place


def drop(data, split):
    return {name: rows for name, rows in data.items() if name != split}


def change(data, split, **values):
    return {**data, split: [{**data[split][0], **values}, *data[split][1:]]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda data: {"retrained": [Wrong()]}, "expected 2 to 64 retrained models, got 1"),
        (lambda data: {"base": []}, "expected 1 to 64 base models, got 0"),
        (lambda data: {"base": "folder"}, "expected a torch module as base 0, got str"),
        (lambda data: {"model": "folder"}, "expected a torch module as model, got str"),
        (lambda data: {"model": Wrong()}, "expected model to give logits for batches of the rows, got: "),
        (lambda data: {"model": Wrong(10)}, "expected finite outputs of all models, got NaN or infinity of model on"),
        (lambda data: {"model": Wrong(12)}, "NaN or infinity"),
        (lambda data: {"data": drop(data, "test")}, "expected rows of forget, retain, test, got none of test"),
        (lambda data: {"data": {**data, "extra": []}}, "got some of extra"),
        (lambda data: {"data": {**data, "ood": []}}, "expected rows in every split, got none in ood"),
        (lambda data: {"data": {**data, "test": [[1, 2]]}}, "expected rows with labels in test, got list"),
        (lambda data: {"data": change(data, "test", labels=None)}, "expected rows with labels in test"),
        (lambda data: {"data": change(data, "test", labels=[1])}, "expected one label per row, .* got 0 and 1 dim"),
        (lambda data: {"data": change(data, "test", labels=10)}, r"expected labels in 0\.\.9, got 0\.\.10"),
        (lambda data: {"data": change(data, "test", example_id=data["test"][1]["example_id"])}, "different example"),
        (lambda data: {"data": change(data, "retain", example_id="forget-00000")}, "forget and retain to share no"),
        (lambda data: {"data": {**data, "shifted": data["forget"][1:]}}, "expected 60 rows of shifted, got 59"),
        (lambda data: {"collator": lambda rows: rows[0]["nothing"]}, "expected model to give logits .*nothing"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line(given, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        judge(**arguments(given, **changes(rows_of(given[0]))))
    assert "\n" not in str(caught.value)


def test_a_model_of_fewer_classes_is_refused(given):
    fewer = {split: SimpleNamespace(logits=np.pad(one.logits, ((0, 0), (0, 1)))) for split, one in given[0].items()}
    with pytest.raises(ValueError, match="expected 11 classes of every model on every split, got 10 classes of"):
        judge(**arguments(given, model=Table(fewer)))
