"""`push_to_hub` of the trainers: a card of what is known, and files that anybody can load."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from datasets import Dataset, load_dataset

from mubench.hub_builders.hub.model_folder import Run
from mubench.trainers.evaluation.judge import Judgement
from mubench.trainers.evaluation.result import Interval, References, Value
from mubench.trainers.methods import METHODS
from mubench.trainers.metrics.bootstrap import DRAWS
from tests.fixtures import toy
from tests.fixtures.data import hub, hub_server  # noqa: F401  (fixtures)

OWN = ("mu-bench/mine", "mu-bench/base")


def pushed(hub: Any, trainer: Any, **given: Any) -> tuple[str, dict[str, Any]]:  # noqa: F811
    """Push into `OWN` and return the card and its YAML."""
    trainer.args.hub_model_id = OWN[0]
    trainer.push_to_hub(**given)
    repository = hub.model(OWN[0])
    return repository.head.files["README.md"].data.decode(), repository.card


def unlearned(folder: Path, **changes: Any) -> Any:
    trainer = toy.trainer("scrub", toy.build("vit"), toy.split_rows(toy.rows("vit")), folder, **changes)
    trainer.train()
    return trainer


def judgement(**changes: Any) -> Judgement:
    score, accuracy = Value(value=0.8125, n=6, retrained=0.95), Value(value=0.5, n=6)
    return Judgement(
        references=References(retrained=[0, 1, 2], bases=[0]),
        metrics={"forget_score": accuracy, "score": score},
        interval=Interval(low=0.7, high=0.9, lost=0, draws=[800] * DRAWS),
        **{"flags": [], **changes},
    )


def test_the_card_states_what_is_known_and_its_snippet_loads_the_model(hub, tmp_path):  # noqa: F811
    trainer = unlearned(tmp_path / "mine", gamma=2.5, curriculum="superloss")
    card, data = pushed(hub, trainer, license="mit", tags="own", tasks="image-classification")
    assert data == {
        "library_name": "transformers", "license": "mit", "pipeline_tag": "image-classification",
        "tags": ["machine-unlearning", "mu-bench", "scrub", "own"],
    }  # fmt: skip
    assert "A `ViTForImageClassification` of unknown training after unlearning 6 rows by `scrub`." in card
    assert "Method: Kurmanji et al., *Towards Unbounded Machine Unlearning*" in card and "With: " in card
    assert "| forget | 6 | not known |\n| retain | 12 | not known |" in card
    assert "| gamma | 2.5 |" in card and "| curriculum | superloss |" in card and "dual_optim" not in card
    assert "Not judged." in card and str(tmp_path) not in card
    found: dict[str, Any] = {}
    exec(re.findall("```python\n(.*?)```", card, re.DOTALL)[0], found)
    assert toy.same(found["model"], toy.snapshot(trainer.model))


def test_a_judged_model_states_its_score(hub, tmp_path):  # noqa: F811
    trainer = unlearned(tmp_path / "mine")
    card, _ = pushed(hub, trainer, judgement=judgement())
    assert re.search(r"\| S\b[^|]*\| 0\.812 \| 0\.950 \|\n\| [^|]*forget[^|]* \| 0\.500 \| - \|", card)
    assert "95 % interval of S: 0.70 to 0.90 (one seed, 3 retrained models)." in card and "Not judged" not in card
    card, _ = pushed(hub, trainer, judgement=judgement(no_signal="base and retrained models agree", flags=["nan"]))
    assert "base and retrained models agree; this run is not ranked." in card and "Flags: nan" in card


def test_the_base_model_is_named_where_it_is_known(hub, tmp_path):  # noqa: F811
    base = toy.task_trainer(toy.build("vit"), toy.rows("vit"), tmp_path / "base")
    base.args.hub_model_id = OWN[1]
    base.push_to_hub()
    card = hub.model(OWN[1]).head.files["README.md"].data.decode()
    assert (
        "A `ViTForImageClassification` trained on 18 rows." in card
        and "unlearning" not in hub.model(OWN[1]).card["tags"]
    )
    model = type(base.model).from_pretrained(OWN[1])
    data = toy.split_rows(toy.rows("vit"))
    card, yaml = pushed(hub, toy.trainer("scrub", model, data, tmp_path / "mine"))
    assert "`mu-bench/base` after unlearning 6 rows" in card and yaml["base_model"] == OWN[1]
    run = Run(
        task="cifar10", tier="mini", family="canonical", deletion_seed=0, ratio=None, split="aa", backbone="resnet",
        base_seed=3, recipe={},
    )  # fmt: skip
    run.write(tmp_path / "base")
    card, yaml = pushed(
        hub, toy.trainer("scrub", type(model).from_pretrained(tmp_path / "base"), data, tmp_path / "mine")
    )
    assert "The base model of MU-Bench for CIFAR-10 (tier mini, `resnet`, seed 3) after unlearning" in card
    assert "base_model" not in yaml


def test_rows_that_datasets_has_loaded_know_where_they_are_from(tmp_path):
    """Their dataset, config and split; of other rows the card has what their user states."""
    rows = toy.rows("vit")
    made = Dataset.from_dict({name: [torch.as_tensor(row[name]).tolist() for row in rows] for name in rows[0]})
    made.to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "mu-bench").mkdir()
    (tmp_path / "rows.parquet").rename(tmp_path / "mu-bench" / "forget.parquet")
    files = {"forget": "forget.parquet"}
    loaded = load_dataset(
        str(tmp_path / "mu-bench"), data_files=files, split="forget", cache_dir=str(tmp_path / "arrow")
    )
    data = {"forget": loaded.with_format("torch"), "retain": rows[6:]}
    trainer = toy.trainer("neg_grad_plus", toy.build("vit"), data, tmp_path / "mine")
    trainer.create_model_card(dataset_tags="ann/mu-bench", dataset="own <rows>", dataset_args="small")
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "| forget | 18 | `ann/mu-bench`, config `default`, split `forget` |" in card
    assert "| retain | 12 | `own <rows>`, config `small` |" in card and "datasets:\n- ann/mu-bench\n" in card
    trainer.create_model_card()
    assert "| forget | 18 | `mu-bench`, config" in (tmp_path / "mine" / "README.md").read_text()


class Net(torch.nn.Module):
    """A custom model, with the output that trainers read."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)

    def forward(self, values: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.layer(values))


def test_a_module_and_a_method_of_ones_own_are_named_as_such(hub, tmp_path):  # noqa: F811
    class Own(METHODS["neg_grad"]):  # type: ignore[name-defined,misc]
        pass

    rows = [{"values": torch.randn(3), "labels": i % 2} for i in range(8)]
    trainer = toy.trainer(Own, Net(), toy.split_rows(rows, 2), tmp_path / "mine")
    card, yaml = pushed(hub, trainer)
    assert "A `Net` of unknown training after unlearning 2 rows by `Own`. `Own` is a custom method" in card
    assert "library_name" not in yaml
    found: dict[str, Any] = {}
    exec(re.findall("```python\n(.*?)```", card, re.DOTALL)[0], found)
    Net().load_state_dict(found["weights"])
    fresh = toy.trainer("retrain", Net(), toy.split_rows(rows, 2), tmp_path / "mine")
    assert "A `Net` trained from scratch without 2 deleted rows by `retrain`." in pushed(hub, fresh)[0]
