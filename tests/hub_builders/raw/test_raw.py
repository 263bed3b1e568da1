import io
import re
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from mubench.hub_builders.__main__ import main
from mubench.hub_builders.dataset import sources
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task, task_info
from mubench.hub_builders.deletion.ranks import validation_rows
from mubench.hub_builders.raw import HUB, RAW
from mubench.hub_builders.raw import _hub as hub
from mubench.hub_builders.raw._archive import read_members
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.utils.checksums import sha256_of, write_sums
from mubench.hub_builders.utils.spool import read_bytes

CIFAR = TASKS["cifar10"]


def picture(number, form="JPEG", mode="RGB", size=(32, 32)):
    """Return the bytes of a random image; its seed is ``number``."""
    pixels = np.random.default_rng(number).integers(0, 256, (*size, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, format=form)
    return buffer.getvalue()


def cifar_files(form="JPEG", train=6, test=5):
    """Return files in the layout of CIFAR-10: 60 training and 50 test pictures."""
    end = "jpg" if form == "JPEG" else "png"
    return {
        f"{split}/{label}/{i:04d}.{end}": picture((split == "test", index, i), form)
        for split, rows in (("train", train), ("test", test))
        for index, label in enumerate(CIFAR.labels)
        for i in range(rows)
    }


def imdb_files():
    """Return files in the layout of IMDB: 60 training and 20 test reviews, two of each equal."""
    files = {
        f"aclImdb/{split}/{label}/{i}_{7 if label == 'pos' else 2}.txt": f"A {label} film, no. {max(i, 1)} ü.".encode()
        for split, rows in (("train", 30), ("test", 10))
        for label in ("neg", "pos")
        for i in range(rows)
    }
    return {**files, "aclImdb/train/unsup/0_0.txt": b"unlabelled", "aclImdb/README": b"about"}


def tar(path, files):
    mode = {"xz": "w:xz", "gz": "w:gz"}.get(path.suffix[1:], "w")
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    if mode == "w":  # without a checksum of its own
        write_sums(path.parent, {path.name: sha256_of(path)})
    return path


def unpack(path, files):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


@pytest.fixture
def imdb(tmp_path):
    """Return a folder with tiny IMDB archives."""
    raw = tmp_path / "raw"
    raw.mkdir()
    tar(raw / "aclImdb.tar.xz", imdb_files())
    sentences = {
        "rt-polaritydata/rt-polarity.neg": "bad\x85 one \n\x00bad two\n".encode(),
        "rt-polaritydata/rt-polarity.pos": b"good\n",
    }
    tar(raw / "rt-polaritydata.tar.xz", sentences)
    return raw


def contents(splits):
    return {
        split: {row["example_id"]: {**row, "source_index": None} for row in rows} for split, rows in splits.items()
    }


def test_archive_and_folder_give_the_same_rows(tmp_path):
    files = cifar_files()
    (tmp_path / "a").mkdir()
    tar(tmp_path / "a" / "cifar10.tar.xz", files)
    unpack(tmp_path / "b" / "cifar10", dict(reversed(files.items())))
    packed, loose = RAW["cifar10"](tmp_path / "a"), RAW["cifar10"](tmp_path / "b")
    assert contents(packed) == contents(loose)
    assert {split: len(rows) for split, rows in packed.items()} == {"train": 60, "test": 50}
    stored = {row["image"]["bytes"]: CIFAR.labels[row["label"]] for row in packed["train"]}
    assert stored == {data: name.split("/")[1] for name, data in files.items() if name.startswith("train")}
    assert {row["source_index"] for row in packed["train"]} == {None}


def hub_dataset(files, split):
    rows = [(CIFAR.labels.index(name.split("/")[1]), data) for name, data in files.items() if name.startswith(split)]
    features = Features({"img": ImageFeature(), "label": ClassLabel(names=list(CIFAR.labels))})
    table = {"img": [{"bytes": data, "path": None} for _, data in rows], "label": [label for label, _ in rows]}
    return Dataset.from_dict(table, features=features)


def test_files_and_hub_give_the_same_ids(tmp_path, monkeypatch):
    files = cifar_files("PNG")
    unpack(tmp_path / "cifar10", files)
    monkeypatch.setattr(hub, "load_dataset", lambda name, config, split, revision: hub_dataset(files, split))
    from_files, from_hub = RAW["cifar10"](tmp_path), HUB["cifar10"]()
    assert contents(from_files) == contents(from_hub)
    assert [row["source_index"] for row in from_hub["train"]] == list(range(60))


def test_reviews_from_files_and_hub_give_the_same_ids(imdb, monkeypatch):
    from_files = RAW["imdb"](imdb)
    parts = {
        ("stanfordnlp/imdb", "train"): from_files["train"],
        ("stanfordnlp/imdb", "test"): from_files["test"],
        ("cornell-movie-review-data/rotten_tomatoes", "train"): from_files["ood"][:1],
        ("cornell-movie-review-data/rotten_tomatoes", "validation"): from_files["ood"][1:2],
        ("cornell-movie-review-data/rotten_tomatoes", "test"): from_files["ood"][2:],
    }
    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})

    def load(name, config, split, revision):
        rows = parts[name, split]
        return Dataset.from_dict({key: [row[key] for row in rows] for key in ("text", "label")}, features=features)

    monkeypatch.setattr(hub, "load_dataset", load)
    assert contents(HUB["imdb"]()) == contents(from_files)


def test_a_hub_with_other_labels_is_refused(monkeypatch):
    features = Features({"img": ImageFeature(), "label": ClassLabel(names=["cat", "dog"])})
    rows = Dataset.from_dict({"img": [], "label": []}, features=features)
    monkeypatch.setattr(hub, "load_dataset", lambda name, config, split, revision: rows)
    with pytest.raises(ValueError, match=r"expected the labels airplane, .* got cat, dog"):
        HUB["cifar10"]()


def test_the_id_of_a_png_is_its_pixels_and_of_a_jpeg_its_bytes(tmp_path):
    first, second = io.BytesIO(), io.BytesIO()
    image = Image.open(io.BytesIO(picture(1, "PNG")))
    image.save(first, format="PNG", compress_level=1)
    image.save(second, format="PNG", compress_level=9)
    assert first.getvalue() != second.getvalue()
    jpeg = picture(2)
    files = {
        "train/cat/0.png": first.getvalue(),
        "train/dog/0.png": second.getvalue(),
        "train/cat/1.png": second.getvalue(),
        "train/cat/2.jpg": jpeg,
        "train/cat/3.jpg": jpeg[:2] + b"\xff\xfe\x00\x03x" + jpeg[2:],
    }
    unpack(tmp_path / "cifar10", files)
    ids = {row["image"]["bytes"]: row["example_id"] for row in RAW["cifar10"](tmp_path)["train"] if row["label"] == 3}
    same, again, one, other = (ids[files[f"train/cat/{name}"]] for name in ("0.png", "1.png", "2.jpg", "3.jpg"))
    assert {same, again} == {min(same, again, key=len), min(same, again, key=len) + "-1"}
    assert one != other and len(one) == 16
    assert {row["example_id"] for row in RAW["cifar10"](tmp_path)["train"] if row["label"] == 5}.isdisjoint(
        ids.values()
    )


def test_images_in_other_modes_become_rgb(tmp_path):
    unpack(
        tmp_path / "cifar10",
        {"train/cat/0.png": picture(1, "PNG", "L"), "train/cat/1.jpg": picture(2, "JPEG", "CMYK")},
    )
    for row in RAW["cifar10"](tmp_path)["train"]:
        with Image.open(io.BytesIO(read_bytes(row["image"]["bytes"]))) as image:
            assert (image.mode, image.format) == ("RGB", "PNG")


@pytest.mark.parametrize(("name", "data", "message"), [
    ("train/cat/9.jpg", b"no picture", "expected an image, got 10 bytes that do not open: .*9.jpg"),
    ("train/cat/9.jpg", picture(9)[:600], "expected an image, got 600 bytes that do not open: .*9.jpg"),
    ("train/cat/9.png", picture(9, "PNG", size=(8, 8)), "expected images of 32x32, got 8x8: .*9.png"),
    ("train/horsefly/9.jpg", picture(9), "expected a class out of airplane, .* got 'horsefly': .*9.jpg"),
])  # fmt: skip
def test_a_bad_image_is_named(tmp_path, name, data, message):
    unpack(tmp_path / "cifar10", {name: data})
    with pytest.raises(ValueError, match=message):
        RAW["cifar10"](tmp_path)


def test_reviews_are_unchanged_and_equal_ones_counted(imdb):
    splits = RAW["imdb"](imdb)
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 60, "test": 20, "ood": 3}
    assert splits["train"][2]["text"] == "A neg film, no. 2 ü."
    counted = [row["example_id"] for row in splits["train"] if "-" in row["example_id"]]
    assert len(counted) == 2 and all(name.endswith("-1") for name in counted)
    assert {row["text"]: row["label"] for row in splits["ood"]} == {"bad\x85 one": 0, "\x00bad two": 0, "good": 1}


def test_sentences_in_latin_1_are_read(imdb):
    tar(imdb / "rt-polaritydata.tar.xz", {"rt-polaritydata/rt-polarity.pos": "café\n".encode("latin-1")})
    assert [row["text"] for row in RAW["imdb"](imdb)["ood"]] == ["café"]


@pytest.mark.parametrize(
    ("data", "message"), [(b"caf\xe9", "expected UTF-8 text"), (b" \n", "expected a text, got an empty")]
)
def test_a_bad_review_is_named(imdb, data, message):
    tar(imdb / "aclImdb.tar.xz", {"aclImdb/train/pos/7_8.txt": data})
    with pytest.raises(ValueError, match=f"{message}.*7_8.txt"):
        RAW["imdb"](imdb)


@pytest.mark.parametrize("name", ["../train/cat/0.jpg", "/train/cat/0.jpg", "a/../../b.jpg"])
def test_names_outside_the_archive_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="expected names inside the archive"):
        list(read_members(tar(tmp_path / "a.tar", {name: b""})))


def test_links_in_an_archive_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        link = tarfile.TarInfo("train/cat/0.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(ValueError, match="got a link or device"):
        list(read_members(tmp_path / "a.tar.gz"))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.xz", "a.tar.gz", "a.zip", "folder"])
def test_every_kind_of_archive_yields_its_files_but_hidden_ones(tmp_path, name):
    files = {"x/1.txt": b"1", "x/y/2.txt": b"2" * 99, "x/.DS_Store": b"-", "__MACOSX/x/1.txt": b"-", "x/._1.txt": b"-"}
    path = tmp_path / name
    if name == "folder":
        unpack(path, files)
    elif name == "a.zip":
        with zipfile.ZipFile(path, "w") as archive:
            [archive.writestr(key, data) for key, data in files.items()]
    else:
        tar(path, files)
    assert dict(read_members(path)) == {"x/1.txt": b"1", "x/y/2.txt": b"2" * 99}


@pytest.mark.parametrize("name", ["a.tar.xz", "a.zip"])
def test_names_of_text_are_read_and_others_refused_where_they_are_wanted(tmp_path, name):
    def read(files, only):
        path = tmp_path / name
        if name == "a.zip":
            with zipfile.ZipFile(path, "w") as archive:
                [archive.writestr(key, data) for key, data in files.items()]
        else:
            tar(path, files)
        return dict(read_members(path, re.compile(only)))

    text = {"a 9\u202f30.txt": b"1", "b\u00a0c.txt": b"2"}
    other = {"__MACOSX/Icon\r": b"-", "x/Icon\r": b"-", ".e\u202e.txt": b"-"}
    assert read({**text, **other}, r"\.txt$") == text
    for wrong in ("x/Icon\r", "a\u202eb.txt", "c\x85.txt"):
        with pytest.raises(ValueError, match="expected printable names"):
            read({wrong: b"-"}, "")


@pytest.mark.parametrize("name", ["cifar10.tar.xz", "cifar10.tar.gz"])
@pytest.mark.parametrize("kept", [0.5, 0.0])
def test_a_damaged_archive_is_one_line_and_exit_code_2(tmp_path, capsys, name, kept):
    path = tar(tmp_path / name, cifar_files())
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)] or b"junk")
    path.rename(tmp_path / "cifar10.tar.xz")
    assert main(["build", "cifar10", "--tier", "full", "--raw", str(tmp_path), "--out", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "expected a complete archive" in err and "cifar10.tar.xz" in err and err.count("\n") == 1


def test_missing_files_are_named(tmp_path, capsys):
    assert main(["build", "cifar10", "--tier", "full", "--raw", str(tmp_path)]) == 2
    assert (
        "expected one of cifar10.tar.xz, cifar-10-binary.tar.gz, cifar-10-batches-bin, cifar10 in"
        in capsys.readouterr().err
    )


def test_validation_rows_are_taken_from_test_by_the_published_rule(tmp_path):
    unpack(tmp_path / "cifar10", cifar_files())
    test = RAW["cifar10"](tmp_path)["test"]
    splits = sources.load_rows(CIFAR, "partial", tmp_path, allow_partial=True)
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 60, "validation": 10, "test": 40}
    assert sorted(row["label"] for row in splits["validation"]) == list(range(10))
    chosen = validation_rows([row["example_id"] for row in test], [row["label"] for row in test], task="cifar10")
    expected = {row["example_id"] for row, yes in zip(test, chosen, strict=True) if yes}
    assert {row["example_id"] for row in splits["validation"]} == expected


def test_fewer_rows_need_the_partial_tier(tmp_path, capsys):
    unpack(tmp_path / "cifar10", cifar_files())
    assert main(["build", "cifar10", "--tier", "full", "--raw", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert (
        "expected 50000 train, 2000 validation, 8000 test rows of cifar10, got 60 train, 10" in capsys.readouterr().err
    )
    folder = build("cifar10", tier="partial", raw=tmp_path, out=tmp_path, allow_partial=True)
    info = task_info("cifar10", data=folder)
    assert (info.tier, info.counts) == ("partial", {"train": 60, "validation": 10, "test": 40})
    assert load_task("cifar10", 5, data=folder)["forget"].num_rows == 3


def test_a_subset_is_fixed_balanced_and_keeps_the_test_rows(tmp_path):
    unpack(tmp_path / "cifar10", cifar_files())
    whole = sources.load_rows(CIFAR, "partial", tmp_path, allow_partial=True)
    part = sources.load_rows(CIFAR, "partial", tmp_path, allow_partial=True, max_train_rows=50)
    assert sorted(row["label"] for row in part["train"]) == sorted(list(range(10)) * 5)
    assert part["test"] == whole["test"] and part["validation"] == whole["validation"]
    smaller = sources.load_rows(CIFAR, "partial", tmp_path, allow_partial=True, max_train_rows=20)
    assert {row["example_id"] for row in smaller["train"]} < {row["example_id"] for row in part["train"]}


def test_files_in_another_order_give_the_same_build(tmp_path):
    files = cifar_files()
    infos = []
    for name, order in (("a", 1), ("b", -1)):
        (tmp_path / name).mkdir()
        tar(tmp_path / name / "cifar10.tar.xz", dict(list(files.items())[::order]))
        folder = build("cifar10", tier="partial", raw=tmp_path / name, out=tmp_path / name, allow_partial=True)
        infos.append(task_info("cifar10", data=folder))
        shutil.rmtree(folder)
    assert infos[0] == infos[1]
