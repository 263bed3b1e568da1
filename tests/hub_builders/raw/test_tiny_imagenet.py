"""Tiny ImageNet in its own layout: images, annotations, words, and the Hub's copy with other class ids."""

import io
import os
from collections import Counter
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mubench.hub_builders.__main__ import main
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task, task_info
from mubench.hub_builders.raw import HUB, RAW, tiny_imagenet
from mubench.hub_builders.raw import _hub as hub
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.utils.spool import read_bytes
from tests.hub_builders.raw.test_raw import contents, picture, tar, unpack

TASK = TASKS["tiny_imagenet"]
REAL = Path(os.environ.get("MUBENCH_DATA", Path(__file__).parents[3] / "../shared/data")) / "raw"
# All classes, one of them grey; two test rows a class.
PICTURES = {
    name: [picture((7, label, i), "JPEG", "L" if label == 3 else "RGB", (64, 64)) for i in range(3)]
    for label, name in enumerate(TASK.labels)
}


def layout(pictures=PICTURES):
    """Return files in the layout of Tiny ImageNet: one training and two validation images per class."""
    train = {f"train/{name}/images/{name}_0.JPEG": data[0] for name, data in pictures.items()}
    boxes = {f"train/{name}/{name}_boxes.txt": b"" for name in pictures}
    held = [(name, one) for name, data in pictures.items() for one in data[1:]]
    lines = [f"val_{i}.JPEG\t{name}\t0\t1\t2\t3\n" for i, (name, _) in enumerate(held)]
    words = [f"{name}\t{word}, thing\n" for name, word in tiny_imagenet.TINY_IMAGENET.items()]
    files = {
        **{f"val/images/val_{i}.JPEG": one for i, (_, one) in enumerate(held)},
        "val/val_annotations.txt": "".join(lines).encode(),
        "words.txt": "".join(["n00000001\tentity\n", *words]).encode(),
        "wnids.txt": "\n".join(pictures).encode(),
        "test/images/test_0.JPEG": b"unlabelled",
    }
    return {f"tiny-imagenet-200/{name}": data for name, data in {**train, **boxes, **files}.items()}


def test_archive_and_folder_give_rows_with_captions_and_groups(tmp_path):
    files = layout()
    (tmp_path / "a").mkdir()
    tar(tmp_path / "a" / "tiny-imagenet-200.tar.xz", files)
    unpack(tmp_path / "b", dict(reversed(files.items())))
    packed, loose = RAW["tiny_imagenet"](tmp_path / "a"), RAW["tiny_imagenet"](tmp_path / "b")
    assert contents(packed) == contents(loose)
    assert {split: len(rows) for split, rows in packed.items()} == {"train": 200, "test": 400}
    for row in packed["train"]:
        assert row["group"] == TASK.labels[row["label"]]
        assert row["caption"] == f"a photo of a {tiny_imagenet.TINY_IMAGENET[row['group']]}"
        data = read_bytes(row["image"]["bytes"])
        with Image.open(io.BytesIO(data)) as image:
            assert image.mode == "RGB" and image.format == ("PNG" if row["label"] == 3 else "JPEG")
        assert row["label"] == 3 or data == PICTURES[row["group"]][0]
    by_bytes = {read_bytes(row["image"]["bytes"]): row["group"] for row in packed["test"] if row["label"] != 3}
    assert by_bytes == {one: name for i, (name, data) in enumerate(PICTURES.items()) for one in data[1:] if i != 3}
    assert packed["train"][0]["caption"] == "a photo of a goldfish"


def test_files_and_hub_with_other_class_ids_give_the_same_rows(tmp_path, monkeypatch):
    unpack(tmp_path, layout())
    theirs = sorted(tiny_imagenet.HUB_IDS.get(name, name) for name in TASK.labels)
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=theirs)})

    def load(name, config, split, revision):
        rows = [
            (theirs.index(tiny_imagenet.HUB_IDS.get(name, name)), one)
            for name, data in PICTURES.items()
            for one in (data[:1] if split == "train" else data[1:])
        ]
        table = {"image": [{"bytes": data, "path": None} for _, data in rows], "label": [label for label, _ in rows]}
        return Dataset.from_dict(table, features=features)

    monkeypatch.setattr(hub, "load_dataset", load)
    assert contents(HUB["tiny_imagenet"]()) == contents(RAW["tiny_imagenet"](tmp_path))


def test_the_changed_class_ids_of_the_hub_are_distinct():
    ours, theirs = set(tiny_imagenet.HUB_IDS), set(tiny_imagenet.HUB_IDS.values())
    assert ours < set(TASK.labels) and theirs.isdisjoint(TASK.labels)
    assert len(theirs) == len(ours) == 18 and len(TASK.labels) == 200 == len(set(TASK.labels))
    words = tiny_imagenet.TINY_IMAGENET.values()
    assert len(set(words)) == 200 and all(word == " ".join(word.split()) for word in words)


ROOT = "tiny-imagenet-200"
LINE = b"val_0.JPEG\tn01443537\t0\t1\t2\t3\n"


@pytest.mark.parametrize(("name", "data", "message"), [
    ("train/n01443537/images/9.JPEG", b"no picture", "expected an image, got 10 bytes that do not open: .*9.JPEG"),
    ("train/n01443537/images/9.JPEG", picture(1), "expected images of 64x64, got 32x32: .*9.JPEG"),
    ("train/n09999999/images/9.JPEG", picture(1), "expected a class out of n01443537, .*got 'n09999999'"),
    ("val/images/val_400.JPEG", picture(1), "an annotation of each validation row, got one of val_400.JPEG"),
    ("val/val_annotations.txt", LINE, "an annotation of each validation row, got one of val_1.JPEG"),
    ("val/val_annotations.txt", LINE * 2, "every image once, got 'val_0.JPEG' again: val_annotations.txt line 2"),
    ("val/val_annotations.txt", LINE[:20], "expected image, class and box, got .*: val_annotations.txt line 1"),
    ("val/val_annotations.txt", LINE.replace(b"37", b"99"), "expected a class of Tiny ImageNet, got 'n01443599'"),
    ("val/val_annotations.txt", b"\xff", "expected UTF-8 text, got other bytes: .*val_annotations.txt"),
    ("val/val_annotations.txt", None, "expected val/val_annotations.txt in .*, got none"),
    ("words.txt", b"n01443537\tcat, puss\n", "goldfish as first word of n01443537, got 'cat, puss': words.txt"),
])  # fmt: skip
def test_a_bad_file_is_one_line_and_writes_nothing(tmp_path, capsys, name, data, message):
    files = {**layout(), f"{ROOT}/{name}": data}
    unpack(tmp_path, {key: value for key, value in files.items() if value is not None})
    command = ["build", "tiny_imagenet", "--tier", "partial", "--allow_partial", "--raw", str(tmp_path)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        RAW["tiny_imagenet"](tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_repeated_image_is_refused(tmp_path):
    files = layout()
    tar(tmp_path / "tiny-imagenet-200.tar.xz", {**files, **{f"./{name}": data for name, data in files.items()}})
    with pytest.raises(ValueError, match=r"expected every image once, got val_0.JPEG again"):
        RAW["tiny_imagenet"](tmp_path)


def test_fewer_rows_than_the_release_are_refused_as_full(tmp_path, capsys):
    unpack(tmp_path, layout())
    assert main(["build", "tiny_imagenet", "--tier", "full", "--raw", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "expected 100000 train, 2000 validation, 8000 test rows" in capsys.readouterr().err


names = st.sampled_from(["val_0.JPEG", "val_1.JPEG", "", "ü"])
fields = st.lists(st.one_of(names, st.sampled_from(TASK.labels[:3]), st.text(max_size=3)), max_size=7).map("\t".join)
good = st.builds("{}\t{}\t0\t1\t2\t3".format, names, st.sampled_from(TASK.labels))


@pytest.mark.nightly
@settings(max_examples=1_000, deadline=None)
@given(st.lists(st.one_of(good, fields), max_size=4), st.sampled_from(["\n", "\r\n"]))
def test_any_annotations_are_parsed_or_refused(lines, end):
    text = end.join(lines)
    try:
        found = tiny_imagenet._parse_annotations(text, "a.txt")
    except ValueError as error:
        message = str(error)
    else:
        rows = [line.rstrip("\r").split("\t") for line in text.split("\n") if line.rstrip("\r")]
        assert {row[0]: TASK.labels[found[row[0]]] for row in rows} == {row[0]: row[1] for row in rows}
        assert len(found) == len(rows)
        return
    assert message.startswith("expected ") and "a.txt line " in message and "\n" not in message


@pytest.mark.nightly
@settings(max_examples=1_000, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(TASK.labels[:2]), st.sampled_from(["goldfish", "cat", "European fire salamander", ""])
        )
    )
)
def test_other_words_are_refused(pairs):
    ours = all(word == tiny_imagenet.TINY_IMAGENET[name] for name, word in pairs)
    text = "".join(f"{name}\t{word}, x\n" for name, word in pairs)
    if ours:
        tiny_imagenet._check_words(text, "w")
    else:
        with pytest.raises(ValueError, match=r"^expected [\w ]+ as first word of n\d+, got '.*': w line \d+$"):
            tiny_imagenet._check_words(text, "w")


@pytest.mark.nightly
@pytest.mark.skipif(
    not (REAL / "tiny-imagenet-200.tar.xz").is_file(), reason="needs tiny-imagenet-200.tar.xz: set MUBENCH_DATA"
)
def test_the_local_fifth_of_the_original(tmp_path):
    splits = RAW["tiny_imagenet"](REAL)
    for split, each in (("train", 100), ("test", 10)):
        assert Counter(row["group"] for row in splits[split]) == dict.fromkeys(TASK.labels, each)
    stored = [read_bytes(row["image"]["bytes"])[:4] for rows in splits.values() for row in rows]
    assert Counter(head == b"\x89PNG" for head in stored) == {False: 21_627, True: 373}
    data = build("tiny_imagenet", tier="partial", allow_partial=True, raw=REAL, out=tmp_path, family="group")
    info = task_info("tiny_imagenet", data=data, family="group")
    assert info.counts == {"train": 20_000, "validation": 400, "test": 1_600}
    forget = load_task("tiny_imagenet", 5, data=data, family="group")["forget"]
    assert Counter(forget["group"][:]) == dict.fromkeys(set(forget["group"][:]), 100) and len(forget) == 1_000
