"""All mini tasks as one repository: what ``make data`` writes, read by the plain ``load_dataset`` of its users."""

import itertools
import re
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from datasets import get_dataset_config_names, load_dataset, load_dataset_builder
from PIL import Image

from mubench.cards.folders import write_dataset_card
from mubench.cards.leaderboard import shipped_tables
from mubench.cards.render import dataset_body, model_card
from mubench.cards.usage import MODEL_USAGE, USAGE, usage
from mubench.hub_builders.__main__ import main
from mubench.hub_builders.dataset.load import load_task, task_info
from mubench.hub_builders.dataset.readme import read_manifests
from mubench.hub_builders.deletion.families import known_tasks
from mubench.hub_builders.deletion.ranks import deletion_ranks
from mubench.hub_builders.hub.model_folder import read_run
from mubench.hub_builders.tasks import BACKBONES, TASKS, Kind
from mubench.hub_builders.tasks.names import RATIOS, config_name
from mubench.trainers.methods import METHODS
from mubench.trainers.models.setting import load_setting
from mubench.trainers.runs.method_table import methods_on

pytestmark = pytest.mark.slow
# Of each kind the task that a card takes for its example: the first by name.
KINDS = {TASKS[key].kind: key for key in sorted(TASKS, reverse=True)}
# Every task with its first backbone, and every mini backbone of a kind with that example.
MODELS = list(
    dict.fromkeys(
        [(key, next(iter(task.recipes))) for key, task in TASKS.items()]
        + [(key, name) for key in KINDS.values() for name in TASKS[key].recipes if BACKBONES[name].is_mini]
    )
)


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """Return a dataset folder with all mini tasks, built by the command; tests only read it."""
    out = tmp_path_factory.mktemp("every")
    assert main(["build", "--out", str(out)]) == 0
    return out / "mu-bench"


@pytest.fixture(scope="module")
def groups(every):
    """Return the folder beside it with the tasks that also delete whole groups."""
    assert main(["build", "--family", "group", "--out", str(every.parent)]) == 0
    return every.parent / "mu-bench-group"


@pytest.fixture(autouse=True)
def beside(every, monkeypatch):
    """Work where the folder lies, as its users do."""
    monkeypatch.chdir(every.parent)


def test_all_configs_are_listed(every):
    assert set(get_dataset_config_names("mu-bench")) == {
        config_name(task, ratio) for task in TASKS for ratio in (None, *RATIOS)
    }


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_the_columns_and_counts_of_the_table(every, task):
    row, info = TASKS[task], task_info(task, data=every)
    rows = load_dataset("mu-bench", f"{task}_del5")
    ood = ["ood"] if "ood" in row.counts["mini"] else []
    assert list(rows) == ["forget", "retain", "validation", "test", *ood]
    assert info.counts == row.counts["mini"] == load_task(task).num_rows
    assert len(rows["forget"]) == info.forget_size(5) >= 50
    assert all(split.features == rows["forget"].features for split in rows.values())
    own = {"example_id", "source_index", "deletion_rank", *(["group"] if row.group else [])}
    assert set(rows["test"].features) == {*own, *row.columns}
    if "label" in row.columns:
        assert tuple(rows["test"].features["label"].names) == row.label_names("mini") == info.labels


@pytest.mark.parametrize("task", ["cifar10", "tofu"])
def test_the_forget_sets_of_all_ratios_are_nested_disjoint_and_covering(task):
    train = load_dataset("mu-bench", task, split="train")
    everything, smaller = set(train["example_id"]), set()
    assert len(everything) == len(train)
    for ratio in RATIOS:
        rows = load_dataset("mu-bench", f"{task}_del{ratio}")
        forget, retain = (set(rows[split]["example_id"]) for split in ("forget", "retain"))
        assert len(forget) == len(rows["forget"]) == (len(train) * ratio + 50) // 100
        assert not forget & retain and forget | retain == everything
        assert smaller < forget
        smaller = forget


@pytest.mark.parametrize("task", TASKS)
def test_ranks_can_be_recomputed_from_what_was_published(every, task):
    train = load_task(task, data=every)["train"]
    labels = train["label"][:] if "label" in TASKS[task].columns else None
    assert train["deletion_rank"][:] == deletion_ranks(train["example_id"][:], labels, task=task).tolist()


@pytest.mark.parametrize("task", TASKS)
def test_ids_are_distinct_and_labels_balanced_in_every_split(every, task):
    splits, classes = load_task(task, data=every), len(TASKS[task].label_names("mini"))
    ids = [example for rows in splits.values() for example in rows["example_id"]]
    assert len(set(ids)) == len(ids)
    for rows in splits.values() if classes else ():
        counts = np.bincount(rows["label"][:], minlength=classes)
        assert counts.min() > 0 and counts.max() - counts.min() <= 0.1 * len(rows)


@pytest.mark.parametrize("task", TASKS)
def test_no_shard_is_empty_and_none_is_stored_twice(every, task):
    info = load_dataset_builder("mu-bench", task)
    files = list(itertools.chain.from_iterable(info.config.data_files.values()))
    stored = sorted(path.name for path in (every / "data" / task).rglob("*.parquet"))
    assert len(set(files)) == len(files) and sorted(file.rpartition("/")[2] for file in files) == stored
    assert sum(task_info(task, data=every).counts.values()) == sum(map(len, load_task(task, data=every).values()))


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_every_kind_runs_as_it_stands(kind, capsys):
    example = usage(kind, repository="mu-bench", config=f"{KINDS[kind]}_del5")
    assert example in dataset_body(list(read_manifests(Path("mu-bench")).values()), repository="mu-bench")
    plain = usage(kind, repository="mu-bench", config=KINDS[kind], split="train")
    for code in (example, plain):
        exec(compile(code, f"usage of {kind}", "exec"), {})
        assert capsys.readouterr().out.strip()


def test_every_kind_has_an_example():
    assert set(USAGE) == set(MODEL_USAGE) == set(get_args(Kind)) >= set(KINDS)


@pytest.mark.parametrize(("task", "backbone"), MODELS)
def test_the_example_of_every_model_card_runs_as_it_stands(task, backbone, every, capsys):
    setting = load_setting(task, backbone, data=str(every))
    folder = every.parent / "models" / f"{task}-mini-{backbone}"
    pair = setting.fresh_model(0)
    for part in pair:
        part.save_pretrained(folder)
    setting.run(ratio=None, base_seed=0).write(folder)
    card = model_card(folder.name, read_run(folder), folder=f"models/{folder.name}")
    (example,) = re.findall(r"^```python\n(.*?)^```", card, re.MULTILINE | re.DOTALL)
    exec(compile(example, f"example of {folder.name}", "exec"), {})
    if TASKS[task].kind == "text_to_image" and backbone not in TASKS[task].classifiers:
        with Image.open("image.png") as picture:
            assert picture.size == (128, 128)
    elif setting.info.labels:
        rows = setting.rows["test"].select([0])
        encoded = setting.modality.encode(rows, pair[1], setting.recipe.max_length)
        logits = setting.modality.predict(*pair, rows, encoded).logits
        assert capsys.readouterr().out.strip() == setting.info.labels[logits.argmax()]
    else:
        assert capsys.readouterr().out.strip()


def test_the_card_shows_rows_of_every_task_that_can_be_looked_at(every, tmp_path):
    folder = shutil.copytree(every, tmp_path / "mu-bench")
    card = write_dataset_card(folder).read_text()
    visual = {key for key, task in TASKS.items() if set(task.columns.values()) & {"image", "video"}}
    assert {path.stem for path in folder.glob("*.png")} == visual >= {"cifar10"}
    for key, task in TASKS.items():
        shown = f"![Rows of {task.title}: forget set above, retain set below]({key}.png)"
        assert (shown in card) == (key in visual)
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            colours = np.asarray(picture.convert("RGB"))
        assert len(np.unique(colours.reshape(-1, 3), axis=0)) > 20, path.name


@pytest.mark.parametrize("task", known_tasks("group"))
def test_whole_groups_are_deleted_where_a_task_has_groups(task, groups):
    rows = load_task(task, 10, data=groups, family="group")
    forget, retain = (set(rows[split]["group"]) for split in ("forget", "retain"))
    assert forget and not forget & retain and None not in forget


@pytest.mark.parametrize("task", TASKS)
def test_a_shipped_table_matches_the_current_rows_and_methods(task, every, groups):
    family, (backbone, *_) = TASKS[task].family_of("mini"), TASKS[task].recipes
    setting = load_setting(task, backbone, data=str(groups if family == "group" else every), family=family)
    (table,) = [one for one in shipped_tables() if (one.row.task, one.row.tier) == (task, "mini")]
    assert (table.row.split, table.row.backbone) == (setting.info.split, backbone)
    made_for = {method for method in methods_on(setting, table.row.ratio) if not METHODS[method].from_scratch}
    shown = {entry.rows[0].method for entry in table.entries}
    assert shown <= made_for and len(shown) > len(made_for) / 2  # a new method has no row yet
