"""Custom tasks: from a YAML file and data made here to a build that is like any other."""

import hashlib
import json
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile
from datasets import ClassLabel, Dataset, DatasetDict, Features
from PIL import Image

from mubench.hub_builders import decode, load_task
from mubench.hub_builders.__main__ import main
from mubench.hub_builders.dataset import own_rows
from mubench.hub_builders.dataset import task_info as info_module
from mubench.hub_builders.dataset.build import build_own
from mubench.hub_builders.dataset.manifest import MANIFEST
from mubench.hub_builders.dataset.readme import read_manifests
from mubench.hub_builders.dataset.task_file import read_task_file
from mubench.hub_builders.dataset.task_info import find_task, task_info
from mubench.hub_builders.deletion.ranks import held_out_rows
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.definition import COLUMNS, MODELS, kind_columns, kind_recipes, resolve_task
from mubench.hub_builders.utils.hub_client import MissingFileError, MissingRepositoryError
from tests.own_data import EXAMPLES, KEYS, make

CUT = {"train": 68, "validation": 4, "test": 8}
COUNTS = {
    "images": CUT, "texts": CUT, "speech": CUT, "videos": CUT, "pairs": {"train": 80, "validation": 4, "test": 16},
    "summaries": {"train": 80, "validation": 10, "test": 20}, "prompts": {"train": 80, "validation": 4, "test": 16},
    "captions": CUT, "documents": CUT,
}  # fmt: skip
LABELS = {
    "images": ("cat", "dog"), "texts": ("negative", "positive"), "speech": ("down", "up"), "videos": ("rest", "run"),
    "pairs": ("False", "True"), "summaries": (), "prompts": (), "captions": ("hole", "lamp"),
    "documents": (),
}  # fmt: skip
TEXTS = """key: mine
kind: text_classification
columns: {text: words, label: class}
source: rows.csv
"""

FEW = "words,class\n" + "".join(f"text {row},{'ab'[row % 2]}\n" for row in range(40))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return a function that builds an example once, and returns its YAML file and the dataset folder."""
    root, done = tmp_path_factory.mktemp("own"), {}

    def build(name):
        if name not in done:
            path = make(name, root / name)
            done[name] = path, build_own(read_task_file(path), out=root)
        return done[name]

    return build


def write(folder: Path, text: str = TEXTS, rows: str | None = None) -> Path:
    if rows is None:
        rows = "words,class\n" + "".join(f"text {row},{'ab'[row % 2]}\n" for row in range(80))
    (folder / "rows.csv").write_text(rows)
    (folder / "task.yaml").write_text(text)
    return folder / "task.yaml"


def built_from(folder: Path, text: str = TEXTS, rows: str | None = None, key: str = "mine", **options):
    data = build_own(read_task_file(write(folder, text, rows)), out=folder, **options)
    return load_task(key, data=data, family=options.get("family", "canonical"))


def test_there_is_an_example_of_at_most_25_lines_for_every_kind():
    files = {
        path.name.removesuffix(".yaml"): path.read_text() for path in EXAMPLES.iterdir() if path.name[-4:] == "yaml"
    }
    files = {name: text for name, text in files.items() if "\nkind: " in text}
    assert files.keys() == KEYS.keys()
    assert {read.split("\nkind: ")[1].split("\n")[0] for read in files.values()} == COLUMNS.keys()
    assert all(len(read.splitlines()) <= 25 for read in files.values())


@pytest.mark.parametrize("name", KEYS)
def test_an_example_becomes_a_task_with_every_split_and_ratio(name, built):
    path, data = built(name)
    info = task_info(KEYS[name], data=data)
    assert (info.tier, info.counts, info.labels) == ("custom", COUNTS[name], LABELS[name])
    assert list(info.forget) == list(range(1, 11))
    task = find_task(KEYS[name], data=data)
    columns = kind_columns(task.kind, prefix_free=name == "documents")
    assert task == info.row and task.kind in MODELS and list(task.columns) == list(columns)
    whole, tenth = load_task(task.key, data=data), load_task(task.key, 10, data=data)
    assert len(tenth["forget"]) == info.forget[10] and len(tenth["retain"]) == info.counts["train"] - info.forget[10]
    assert [name for name in whole["train"].column_names if name in task.columns] == list(task.columns)
    manifest = read_manifests(data)[task.key]
    assert manifest["definition"]["file"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert str(path.parent) not in json.dumps(manifest)
    assert ("reader" in manifest["definition"]) == (name == "prompts")


def test_recordings_become_mono_at_the_rate_of_the_backbones(built):
    rows = decode(load_task("my_speech", data=built("speech")[1]))["test"]
    assert {row["audio"]["sampling_rate"] for row in rows} == {16_000}
    sound = rows[0]["audio"]["array"]
    assert len(sound) == 8_000  # half a second
    loudest = int(np.abs(np.fft.rfft(sound)).argmax()) * 2  # Hz
    assert loudest == {"down": 300, "up": 700}[("down", "up")[rows[0]["label"]]]


def test_stereo_is_averaged_and_a_long_recording_is_reported(tmp_path, caplog):
    for row in range(80):
        path = tmp_path / "speech" / "ab"[row % 2] / f"{row}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.stack([np.full(17_000, 0.5), np.full(17_000, row / 1000)], axis=1), 16_000)
    shutil.copyfile(str(EXAMPLES / "speech.yaml"), tmp_path / "speech.yaml")
    data = build_own(read_task_file(tmp_path / "speech.yaml"), out=tmp_path)
    assert "80 recordings are longer than 1 s; speech models read the first second of each" in caplog.text
    levels = {
        round(float(row["audio"]["array"].mean()), 4) for row in decode(load_task("my_speech", data=data))["train"]
    }
    assert max(levels) == pytest.approx(0.289, abs=2e-3) and len(levels) == 68


def test_a_column_may_be_both_input_and_class(tmp_path):
    text, rows = TEXTS.replace("label: class", "label: words"), "words\n" + "a bright one\na dark one\n" * 40
    train = built_from(tmp_path, text, rows)["train"]
    assert train.features["label"].names == ["a bright one", "a dark one"]
    assert train["text"][:] == [train.features["label"].names[label] for label in train["label"]]


def test_a_row_of_the_reader_is_in_the_split_that_it_names(built):
    path, data = built("prompts")
    lines = [json.loads(line) for line in (path.parent / "rows.jsonl").read_text().splitlines()]
    splits = load_task("my_prompts", data=data)
    given = {line["query"] for line in lines if line.get("split") == "test"}
    assert {*splits["test"]["prompt"], *splits["validation"]["prompt"]} == given
    assert set(splits["train"]["group"]) == {line["who"] for line in lines[:80]}


def test_groups_are_held_out_and_deleted_whole(built, tmp_path):
    path, data = built("texts")
    splits = load_task("my_texts", data=data)
    groups = {name: set(rows["group"]) for name, rows in splits.items()}
    assert not groups["train"] & groups["test"] and not groups["train"] & groups["validation"]
    grouped = build_own(read_task_file(path), out=tmp_path, family="group")
    assert grouped.name == "mu-bench-group"
    sets = load_task("my_texts", 10, data=grouped, family="group")
    assert not set(sets["forget"]["group"]) & set(sets["retain"]["group"])
    assert len(sets["forget"]) == 8  # two authors of four


def test_rows_that_are_held_out_follow_from_the_ids_and_keep_the_labels():
    ids, labels = [f"row {row}" for row in range(200)], [row % 2 for row in range(200)]
    found = dict(zip(ids, held_out_rows(ids, labels, task="t"), strict=True))
    again = dict(zip(ids[::-1], held_out_rows(ids[::-1], labels[::-1], task="t"), strict=True))
    assert found == again != dict(zip(ids, held_out_rows(ids, labels, task="u"), strict=True))
    counts = {(place, int(name.split()[1]) % 2): 0 for name, place in found.items()}
    for name, place in found.items():
        counts[place, int(name.split()[1]) % 2] += 1
    assert counts == {("train", 0): 85, ("train", 1): 85, ("test", 0): 10, ("test", 1): 10,
                      ("validation", 0): 5, ("validation", 1): 5}  # fmt: skip


def test_a_build_depends_on_the_rows_and_not_on_their_order(tmp_path):
    rows = [f"text {row},{'ab'[row % 2]}\n" for row in range(80)]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first = built_from(tmp_path / "one", rows="words,class\n" + "".join(rows))
    second = built_from(
        tmp_path / "two",
        rows="class,words\n" + "".join(f"{r[:-1].split(',')[1]},{r.split(',')[0]}\n" for r in rows[::-1]),
    )
    assert first["train"]["example_id"] == second["train"]["example_id"]
    assert first["train"]["text"] == second["train"]["text"]


def test_texts_of_a_table_stay_as_they_are(tmp_path):
    special = ["NA", "007", "true", "1.50", "null"]
    rows = "words,class\n" + "".join(f"{special[row % 5]},{'ab'[row % 2]}\n" for row in range(80))
    splits = built_from(tmp_path, rows=rows)
    assert {text for part in splits.values() for text in part["text"]} == set(special)


@pytest.mark.parametrize(
    ("labels", "values", "names", "first"),
    [
        ("", ("10", "9"), ["9", "10"], 1),  # numbers in their order
        ("labels: [low, high]", ("1", "0"), ["low", "high"], 1),  # numbers of the names
        ("labels: [0, 1]", ("1", "0"), ["0", "1"], 1),
        ("labels: [b, a]", ("a", "b"), ["b", "a"], 1),
    ],
)
def test_labels_are_names_or_their_numbers(labels, values, names, first, tmp_path):
    rows = "words,class\n" + "".join(f"text {row},{values[row % 2]}\n" for row in range(80))
    train = built_from(tmp_path, f"{TEXTS}{labels}\n", rows)["train"]
    assert train.features["label"].names == names
    assert {row["label"] for row in train if int(row["text"].split()[1]) % 2 == 0} == {first}


def test_splits_that_are_there_are_kept(tmp_path):
    (tmp_path / "reader.py").write_text(
        "def rows():\n"
        "    for split, size in (('train', 60), ('validation', 10)):\n"
        "        yield from ({'q': f'{split} {row}', 'a': 'answer', 'split': split} for row in range(size))\n"
    )
    text = "key: mine\nkind: text_generation\ncolumns: {prompt: q, text: a}\nsource: reader.py:rows\n"
    splits = built_from(tmp_path, text)
    assert {name: len(part) for name, part in splits.items()} == {"train": 54, "validation": 10, "test": 6}
    assert all(text.startswith("validation") for text in splits["validation"]["prompt"])
    assert all(text.startswith("train") for text in splits["test"]["prompt"])


def test_a_subset_and_a_list_of_rows_to_forget(tmp_path):
    train = built_from(tmp_path, max_train_rows=50)["train"]
    assert len(train) == 50
    (tmp_path / "ids").write_text("\n".join(train["example_id"][:5]))
    sets = built_from(tmp_path, family="custom", forget_ids=tmp_path / "ids", max_train_rows=50)
    assert (
        load_task("mine", 10, data=tmp_path / "mu-bench-custom", family="custom")["forget"]["text"]
        == train["text"][:5]
    )
    assert len(sets["train"]) == 50


def pictures(count):
    """Return rows of images with a class, as `datasets` has them."""
    names = ClassLabel(names=["day", "night"])
    cells = [{"picture": Image.new("RGB", (4, 4), (row, 0, 0)), "when": row % 2} for row in range(count)]
    return Dataset.from_list(cells, features=Features({"picture": datasets.Image(), "when": names}))


PICTURES = TEXTS.replace("text_class", "image_class").replace(
    "{text: words, label: class}", "{image: picture, label: when}"
)


def test_a_data_set_on_the_hub_is_read_by_its_own_splits_and_class_names(tmp_path, monkeypatch):
    def load(path, **options):
        assert (path, options) == ("some/where", {"name": "small", "revision": "main"})
        return DatasetDict({"fit": pictures(60), "dev": pictures(20)})

    monkeypatch.setattr(own_rows, "load_dataset", load)
    hub = "source: some/where\nconfig: small\nrevision: main\nsplits: {train: fit, test: dev}"
    splits = built_from(tmp_path, PICTURES.replace("source: rows.csv", hub))
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 60, "validation": 4, "test": 16}
    assert splits["train"].features["label"].names == ["day", "night"]
    assert {np.asarray(row["image"])[0, 0, 0] % 2 == row["label"] for row in splits["test"]} == {True}
    task = find_task("mine", data=tmp_path / "mu-bench")
    assert (task.source.hub_id, task.source.revision) == ("some/where", "main")


def test_rows_on_the_hub_name_no_file_of_this_machine(tmp_path, monkeypatch):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    rows = Dataset.from_dict({"picture": [str(tmp_path / "a.png")] * 60, "when": ["x", "y"] * 30})
    monkeypatch.setattr(own_rows, "load_dataset", lambda *_, **__: DatasetDict({"train": rows}))
    with pytest.raises(ValueError, match=r"expected media in the rows of 'some/where', got the path of a file"):
        built_from(tmp_path, PICTURES.replace("rows.csv", "some/where"))


@pytest.mark.parametrize("cached", [True, False])
def test_a_path_in_parquet_of_the_hub_is_of_a_fetched_file(cached, tmp_path, monkeypatch):
    for row in range(80):
        Image.new("RGB", (4, 4), (row, 0, 0)).save(tmp_path / f"{row}.png")
    cells = [{"picture": {"bytes": None, "path": f"{tmp_path}/{row}.png"}, "when": row % 2} for row in range(80)]
    rows = Dataset.from_list(cells, features=pictures(1).features)
    monkeypatch.setattr(own_rows, "load_dataset", lambda *_, **__: DatasetDict({"train": rows}))
    if cached:
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
        assert len(built_from(tmp_path, PICTURES.replace("rows.csv", "some/where"))["train"]) == 68
    else:
        with pytest.raises(ValueError, match=r"expected media in the rows of 'some/where', got the path of a file"):
            built_from(tmp_path, PICTURES.replace("rows.csv", "some/where"))


def test_a_folder_with_the_name_of_a_data_set_on_the_hub_is_not_read(tmp_path, monkeypatch):
    path = write(tmp_path, TEXTS.replace("rows.csv", "some/where"))
    (tmp_path / "work" / "some" / "where").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(ValueError, match=r"expected 'some/where' on the Hub, got a folder of that name in .*work, "):
        own_rows.read_own_rows(read_task_file(path))


def test_recordings_leave_nothing_in_the_cache_of_data_sets(tmp_path, monkeypatch):
    for row in range(4):
        path = tmp_path / "speech" / "ab"[row % 2] / f"{row}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full(100, row / 10), 16_000)
    shutil.copyfile(str(EXAMPLES / "speech.yaml"), tmp_path / "speech.yaml")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    _, splits = own_rows.read_own_rows(read_task_file(tmp_path / "speech.yaml"))
    assert len(splits["train"]) == 4
    assert not [found for found in (tmp_path / "cache").rglob("*") if found.suffix in (".arrow", ".json")]


def test_a_loader_that_fails_is_one_line(tmp_path, monkeypatch):
    def load(*_, **__):
        raise RuntimeError("Dataset scripts are no longer supported, but found where.py")

    monkeypatch.setattr(own_rows, "load_dataset", load)
    with pytest.raises(FileNotFoundError, match=r"expected rows in 'some/where' of .*, got: Dataset scripts are no"):
        built_from(tmp_path, TEXTS.replace("rows.csv", "some/where"))


def test_parquet_holds_its_media(tmp_path):
    for split, count in (("train", 60), ("test", 20)):
        pictures(count).to_parquet(tmp_path / f"{split}.parquet")
    splits = built_from(tmp_path, PICTURES.replace("rows.csv", "{train: train.parquet, test: test.parquet}"))
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 60, "validation": 4, "test": 16}
    assert {np.asarray(row["image"])[0, 0, 0] % 2 == row["label"] for row in splits["test"]} == {True}


def test_a_folder_is_a_split_by_name_or_by_its_own_name(tmp_path):
    for split, count in (("train", 60), ("test", 20)):
        for row, cells in enumerate(pictures(count)):
            path = tmp_path / "all" / split / "xy"[cells["when"]] / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cells["picture"].save(path)
    text = PICTURES.replace("{image: picture, label: when}", "{image: image, label: label}")
    first = built_from(tmp_path, text.replace("rows.csv", "all"))
    second = built_from(tmp_path, text.replace("rows.csv", "{train: all/train, test: all/test}"))
    assert [len(first[name]) for name in ("train", "validation", "test")] == [60, 4, 16]
    assert all(first[name]["example_id"] == second[name]["example_id"] for name in first)


def test_recipes_are_those_of_the_kind_or_of_the_file(built):
    texts, images = (find_task(KEYS[name], data=built(name)[1]) for name in ("texts", "images"))
    assert list(texts.recipes) == ["bert", "minilm"] and texts.default_backbone == "bert"
    assert (texts.recipes["bert"].epochs, texts.recipes["bert"].max_length) == (12, 64)
    assert texts.recipes["bert"].learning_rate == TASKS["imdb"].recipes["bert"].learning_rate
    assert texts.recipes["minilm"] == TASKS["imdb"].recipes["minilm"]
    assert dict(images.recipes) == dict(TASKS["cifar10"].recipes)
    assert kind_recipes("text_classification")["bert"].max_length == 128


@pytest.mark.parametrize(
    ("key", "changes", "message"),
    [
        ("Mine", {}, "expected a key of 1 to 40 lower-case letters, .*, got 'Mine'"),
        ("cifar10", {}, "expected a key that no task of the suite has, got 'cifar10'"),
        ("mine", {"recipes": {"x": {}}}, "expected backbones of text_classification, bert, .*, got 'x'"),
        ("mine", {"recipes": {"bert": {"lr": 1}}}, "expected the fields .* of a recipe, got 'lr'"),
        (
            "mine",
            {"recipes": {"bert": {"epochs": -1}}},
            "expected learning_rate above 0, epochs .*, got {'epochs': -1}",
        ),
        (
            "mine",
            {"recipes": {"bert": {"augment": True}}},
            "expected augment false of bert, since rows of text_classification are not augmented, got true$",
        ),
        ("mine", {"labels": ["a" * 201]}, "expected the definition of 'mine', got another"),
    ],
)
def test_a_definition_that_makes_no_task_is_one_line(key, changes, message):
    definition = {"file": "ab" * 32, "title": "A", "kind": "text_classification", "source": "rows", **changes}
    with pytest.raises(ValueError, match=f"^{message}") as error:
        resolve_task(key, definition)
    assert "\n" not in str(error.value)


def test_a_task_of_the_suite_lies_beside_it_and_an_unknown_one_is_named(built):
    _, data = built("images")
    assert find_task("cifar10", data=data) is TASKS["cifar10"]
    with pytest.raises(
        ValueError, match=r"task must be one of cifar10, .*my_images.*, got 'my_image'; did you mean 'my_images'\?"
    ):
        load_task("my_image", data=data)
    with pytest.raises(
        FileNotFoundError,
        match=r"no my_images in .*: make it .*build --task_file my_images.yaml --family group.*; "
        r".*mu-bench has it: add --family canonical$",
    ):
        load_task("my_images", data=data, family="group")
    with pytest.raises(
        ValueError, match=r"got 'news'; a task of your own is built first, with .*build --task_file FILE$"
    ):
        load_task("news", data=data)


@pytest.mark.parametrize(
    ("fault", "raised", "message"),
    [
        (FileNotFoundError("expected it from the Hub, got a timeout"), FileNotFoundError, "got a timeout; nothing in"),
        (MissingFileError("no file"), ValueError, "task must be one of cifar10, .*, got 'mine'"),
        (MissingRepositoryError("no repository"), ValueError, "task must be one of cifar10, .*, got 'mine'"),
    ],
)
def test_a_hub_that_cannot_be_reached_is_no_unknown_task(fault, raised, message, monkeypatch):
    def fetch(*_):
        raise fault

    monkeypatch.setattr(info_module, "fetch_file", fetch)
    with pytest.raises(raised, match=message):
        find_task("mine", data="some/where")


def test_a_changed_definition_is_damage(built, tmp_path):
    path = make("images", tmp_path / "images")
    data = build_own(read_task_file(path), out=tmp_path)
    (manifest,) = data.glob(f"data/my_images/*/{MANIFEST}")
    manifest.write_text(manifest.read_text().replace("My images", "Yours"))
    with pytest.raises(
        ValueError, match=r"expected the manifest that was built.*build it again.*--task_file my_images.yaml"
    ):
        load_task("my_images", data=data)


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "mine_ids"},
        {"task": "cifar10"},
        {"tier": "mini"},
        {"definition": None},
        {"recipes": {"resnet": {}}},
        {"recipes": {"bert": {"epochs": 0}}},
    ],
)
def test_a_manifest_with_another_definition_is_left_out(changes, tmp_path):
    built_from(tmp_path)
    data = tmp_path / "mu-bench"
    (manifest,) = data.glob(f"data/mine/*/{MANIFEST}")
    found = json.loads(manifest.read_text())
    found |= {name: value for name, value in changes.items() if name in found}
    if "recipes" in changes:
        found["definition"] |= changes
    manifest.write_text(json.dumps(found))
    (manifest.parent / "SHA256SUMS").unlink()
    assert read_manifests(data) == {}
    with pytest.raises(ValueError, match=r"expected a manifest with .*build it again"):
        find_task("mine", data=data)
    built_from(tmp_path, TEXTS.replace("key: mine", "key: other"), key="other")
    assert list(read_manifests(data)) == ["other"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("key: mine\n", ""), "expected the field key, got kind, columns, source"),
        (
            ("key: mine", "key: ../mine"),
            "'_' that begins with a letter and does not end in _ids or _del and digits, got '../mine' (key)",
        ),
        (("key: mine", "key: mine_del5"), "got 'mine_del5' (key)"),
        (("key: mine", "key: cifar10"), "expected a key that no task of the suite has, got 'cifar10' (key)"),
        (("key: mine", "key: 7"), "expected key to be a valid string, got 7"),
        (("key: mine", "title: a\nkye: mine"), "got 'kye'; did you mean 'key'?"),
        (("kind: text_classification", "kind: texts"), "expected kind to be 'image_classification'"),
        (
            ("kind: text_classification", "kind: text_to_image"),
            "expected columns: {image: ..., caption: ..., label: ...} of text_to_image, got text, label",
        ),
        (
            ("{text: words, label: class}", "{text: words}"),
            "expected columns: {text: ..., label: ...} of text_classification, got text",
        ),
        (("{text: words, label: class}", "words"), "expected columns to be a valid dictionary, got 'words'"),
        (("source: rows.csv", "source: rows.xlsx"), "got 'rows.xlsx', and nothing at"),
        (
            ("source: rows.csv", "source: task.yaml"),
            "expected a file ending in .csv, .tsv, .json, .jsonl, .parquet as source",
        ),
        (("source: rows.csv", "source: ."), "as source of text_classification"),
        (("source: rows.csv", "source: reader.py:rows"), "got 'reader.py', and nothing at"),
        (
            ("source: rows.csv", "source: {train: rows.csv, dev: rows.csv}"),
            "expected the names in source to be 'train', 'validation', 'test' or 'ood', got 'dev'",
        ),
        (
            ("source: rows.csv", "source: {train: rows.csv}\nsplits: {train: train}"),
            "expected splits or a source by split, got both",
        ),
        (
            ("source: rows.csv", "source: rows.csv\nrevision: main"),
            "expected a Hub id as source with config or revision, got 'rows.csv'",
        ),
        (
            ("source: rows.csv", "source: rows.csv\nlabels: [yes, no]"),
            "class names in quotes where YAML reads them as something else, got True",
        ),
        (("source: rows.csv", "source: rows.csv\nlabels: [a, a]"), "each class name once, got 'a' again"),
        (("source: rows.csv", "source: rows.csv\nlabels: [a]"), "expected 2 labels or more, got 'a' alone"),
        (("source: rows.csv", "source: rows.csv\nlicence: Mine!"), "got 'Mine!'"),
        (
            ("source: rows.csv", f"source: rows.csv\ntitle: {'t' * 201}"),
            "expected title to have at most 200 characters",
        ),
        (
            ("source: rows.csv", "source: rows.csv\nrecipes: {resnet: {}}"),
            "expected backbones of text_classification, bert, ",
        ),
        (("source: rows.csv", "source: rows.csv\nrecipes: {bert: {lr: 1}}"), "of a recipe, got 'lr'"),
        (
            ("source: rows.csv", "source: rows.csv\nrecipes: {bert: {epochs: many}}"),
            "expected a valid integer, unable to parse string as an integer as epochs of bert, got 'many'",
        ),
        (
            ("source: rows.csv", "source: rows.csv\nrecipes: {bert: {epochs: 0}}"),
            "epochs and batch_size of 1 or more of bert",
        ),
        (
            ("source: rows.csv", "source: rows.csv\nsplits: {train: fit}"),
            "expected the split 'fit' in 'rows.csv', got train",
        ),
        (("words, label", "word, label"), "expected the column 'word' in 'rows.csv', got words, class"),
        (
            ("source: rows.csv", "source: rows.csv\ngroup: who"),
            "expected the column 'who' in 'rows.csv', got words, class",
        ),
        (
            ("source: rows.csv", "source: rows.csv\nlabels: [a, c]"),
            "expected a label out of a, c in train row 1, got 'b'",
        ),
        (("key", "{"), "expected YAML in"),
        ((TEXTS, "- 1"), "expected the fields of a task in"),
    ],
)
def test_a_file_that_is_wrong_is_one_line(change, message, tmp_path, capsys):
    path = write(tmp_path, TEXTS.replace(*change))
    assert main(["build", "--task_file", str(path), "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("mubench: expected ") and "expected expected" not in error and message in error
    assert not (tmp_path / "mu-bench").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("words,class\n,a\n", "expected a text in column 'words' of train row 0, got ''"),
        ("words,class\none,\n", "expected a text in column 'class' of train row 0, got ''"),
        ("words,class\none,a\ntwo,a\n", "expected rows of 2 labels or more in 'rows.csv', got a"),
        (f"words,class\none,a\ntwo,{'b' * 201}\n", "expected labels.1 to have at most 200 characters, got 'bbb"),
        ("words,class\n", "expected rows in 'rows.csv'|expected training rows in 'rows.csv', got none"),
        ("words,class\none,a\ntwo,b\n", "expected rows of mine in every split, got none in validation"),
        (FEW, "expected a ratio that deletes at least one row, got 1 % of 34 rows"),
    ],
)
def test_a_row_that_is_wrong_is_one_line(rows, message, tmp_path, capsys):
    assert main(["build", "--task_file", str(write(tmp_path, rows=rows)), "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("mubench: ") and any(one in error for one in message.split("|"))


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        ("other = 1", "expected a function rows in"),
        ("def rows():\n    return [1]", "expected rows by column from reader.py:rows, got 1"),
        (
            "def rows():\n    return [{'q': 'a', 'a': 'b', 'split': 'dev'}]",
            "expected a split out of train, validation, test, ood from reader.py:rows, got 'dev'",
        ),
        ("def rows():\n    return []", "expected training rows in 'reader.py:rows', got none"),
        ("def rows():\n    return [{'q': 'a', 'a': None}]", "expected a value in column 'a' of train row 0, got none"),
        ("def rows():\n    return [{'q': 'a'}]", "expected the column 'a' in 'reader.py:rows', got q"),
        ("def rows(:", "expected rows by column from reader.py:rows, got SyntaxError: invalid syntax (line 1)"),
        ("\nimport nothing_of_this_name", "got ModuleNotFoundError: No module named 'nothing_of_this_name' (line 2)"),
        ("def rows():\n    return 1 / 0", "reader.py:rows, got ZeroDivisionError: division by zero (line 2)"),
        ("def rows():\n    yield {}['a']", "expected rows by column from reader.py:rows, got KeyError: 'a' (line 2)"),
        ("import sys\ndef rows():\n    sys.exit(3)", "reader.py:rows, got SystemExit: 3 (line 3)"),
        ("def rows():\n    pass", "expected rows by column from reader.py:rows, got None"),
    ],
)
def test_a_reader_that_is_wrong_is_one_line(reader, message, tmp_path, capsys):
    (tmp_path / "reader.py").write_text(reader)
    text = "key: mine\nkind: text_generation\ncolumns: {prompt: q, text: a}\nsource: reader.py:rows\n"
    assert main(["build", "--task_file", str(write(tmp_path, text)), "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_the_hashes_of_a_build_are_of_the_bytes_that_it_read(tmp_path):
    text = "key: mine\nkind: text_generation\ncolumns: {prompt: q, text: a}\nsource: reader.py:rows\n"
    code = "def rows():\n    return [{'q': 'a', 'a': 'b'}]\n"
    (tmp_path / "reader.py").write_text(code)
    own = read_task_file(write(tmp_path, text))
    (tmp_path / "task.yaml").write_text("other")
    (tmp_path / "reader.py").write_text("other")
    _, splits = own_rows.read_own_rows(own)
    assert [row["text"] for row in splits["train"]] == ["b"]
    found = own.definition()
    assert (found.file, found.reader) == tuple(hashlib.sha256(one.encode()).hexdigest() for one in (text, code))
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("missing.png", "expected a file of image in train row 0, got none at"),
        ("rows.csv", "expected an image, got"),
        (None, "expected a value in column 'left' of train row 0, got none"),
        (5, "expected bytes or a path of image in train row 0, got 5"),
    ],
)
def test_a_media_cell_that_is_wrong_is_one_line(cell, message, tmp_path, capsys):
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    row = {"left": cell, "right": "b.png", "statement": "s", "holds": "True"}
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
    path = write(tmp_path, (EXAMPLES / "pairs.yaml").read_text())
    assert main(["build", "--task_file", str(path), "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["cifar10"], "expected a task of the suite with task, got it with task_file"),
        (["--tier", "full"], "expected a task of the suite with tier"),
        (["--raw", "."], "expected a task of the suite with raw"),
        (["--family", "paper"], "expected tier full with family paper"),
        (["--family", "group"], "expected a task whose rows have groups"),
        (["--family", "custom"], "expected forget_ids with family custom"),
        (["--max_train_rows", "0"], "expected max_train_rows of 1 or more, got 0"),
    ],
)
def test_options_that_are_about_tasks_of_the_suite_are_refused(options, message, tmp_path, capsys):
    path = write(tmp_path)
    assert main(["build", "--task_file", str(path), "--out", str(tmp_path), *options]) == 2
    assert message in capsys.readouterr().err


def test_a_build_again_replaces_the_task_and_keeps_the_others(tmp_path):
    built_from(tmp_path)
    path = make("images", tmp_path / "images")
    data = build_own(read_task_file(path), out=tmp_path)
    before = task_info("mine", data=data)
    built_from(tmp_path, TEXTS.replace("key: mine", "key: mine\ntitle: Again"))
    assert task_info("mine", data=data).split == before.split  # of the rows alone
    assert find_task("mine", data=data).title == "Again"
    assert find_task("my_images", data=data).title == "My images"
