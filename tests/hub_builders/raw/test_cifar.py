"""Both CIFARs: the binary version, folders and Hub rows give the same rows."""

import io

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mubench.hub_builders.__main__ import main
from mubench.hub_builders.raw import HUB, RAW
from mubench.hub_builders.raw import _hub as hub
from mubench.hub_builders.raw.cifar10 import CIFAR10, PIXELS
from mubench.hub_builders.raw.cifar100 import CIFAR100
from mubench.hub_builders.utils.spool import read_bytes
from tests.hub_builders.raw.test_raw import contents, tar, unpack

READERS = {"cifar10": CIFAR10, "cifar100": CIFAR100}
FOLDERS = {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}
ARCHIVES = {"cifar10": "cifar-10-binary.tar.gz", "cifar100": "cifar-100-binary.tar.gz"}
BATCH = 30


def records(key):
    """Return (label, planes) of every record of every batch."""
    reader = READERS[key]
    rng, made, count = np.random.default_rng(3), {}, 0
    for batches in reader.batches.values():
        for name in batches:
            planes = rng.integers(0, 256, (BATCH, PIXELS), dtype=np.uint8)
            labels = (count + np.arange(BATCH)) % len(reader.task.labels)
            made[name] = list(zip(labels.tolist(), planes, strict=True))
            count += BATCH
    return made


def binary(key, made=None):
    """Return the files of a small binary version."""
    reader = READERS[key]
    files = {
        name: b"".join(bytes([7] * (reader.label_bytes - 1) + [label]) + planes.tobytes() for label, planes in batch)
        for name, batch in (made or records(key)).items()
    }
    return {reader.names: "\n".join([*reader.task.labels, "", ""]).encode(), **files}


def as_png(planes):
    buffer = io.BytesIO()
    Image.fromarray(planes.reshape(3, 32, 32).transpose(1, 2, 0)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def pictures(key):
    """Return per split (label, PNG) in the original order."""
    made = records(key)
    return {
        split: [(label, as_png(planes)) for name in batches for label, planes in made[name]]
        for split, batches in READERS[key].batches.items()
    }


@pytest.fixture(params=READERS)
def key(request):
    return request.param


def test_the_binary_version_gives_the_images_in_order(tmp_path, key):
    unpack(tmp_path / FOLDERS[key], binary(key))
    splits = RAW[key](tmp_path)
    for split, expected in pictures(key).items():
        assert [row["source_index"] for row in splits[split]] == list(range(len(expected)))
        for row, (label, data) in zip(splits[split], expected, strict=True):
            with (
                Image.open(io.BytesIO(read_bytes(row["image"]["bytes"]))) as ours,
                Image.open(io.BytesIO(data)) as png,
            ):
                assert ours.mode == "RGB" and ours.tobytes() == png.tobytes()
            assert row["label"] == label


def test_archive_folder_and_hub_give_the_same_ids(tmp_path, monkeypatch, key):
    files, labels, column = binary(key), READERS[key].task.labels, READERS[key].column
    for place in ("archive", "pictures"):
        (tmp_path / place).mkdir()
    # An archive lists its members in any order.
    tar(tmp_path / "archive" / ARCHIVES[key], {f"{FOLDERS[key]}/{name}": files[name] for name in reversed(files)})
    loose = {
        f"{split}/{labels[label]}/{index}.png": data
        for split, rows in pictures(key).items()
        for index, (label, data) in enumerate(rows)
    }
    unpack(tmp_path / "pictures" / key, loose)
    features = Features({"img": ImageFeature(), column: ClassLabel(names=list(labels))})

    def load(name, config, split, revision):
        rows = pictures(key)[split]
        table = {"img": [{"bytes": data, "path": None} for _, data in rows], column: [label for label, _ in rows]}
        return Dataset.from_dict(table, features=features)

    monkeypatch.setattr(hub, "load_dataset", load)

    def ids(splits):
        return {split: {row["example_id"]: row["label"] for row in rows} for split, rows in splits.items()}

    packed, from_hub = RAW[key](tmp_path / "archive"), HUB[key]()
    assert ids(packed) == ids(RAW[key](tmp_path / "pictures")) == ids(from_hub)
    assert [row["source_index"] for row in from_hub["train"]] == list(range(len(from_hub["train"])))
    unpack(tmp_path / "folder" / FOLDERS[key], files)
    assert contents(RAW[key](tmp_path / "folder")) == contents(packed)


def test_other_class_names_on_the_hub_are_refused(monkeypatch):
    features = Features({"img": ImageFeature(), "fine_label": ClassLabel(names=["cat", "dog"])})
    rows = Dataset.from_dict({"img": [], "fine_label": []}, features=features)
    monkeypatch.setattr(hub, "load_dataset", lambda name, config, split, revision: rows)
    with pytest.raises(ValueError, match=r"expected the labels apple, .* got cat, dog"):
        HUB["cifar100"]()


@pytest.mark.parametrize(("name", "data", "message"), [
    ("test.bin", b"x" * 3_075, "expected complete records of 3074 bytes, got 3075 bytes: test.bin"),
    ("test.bin", b"", "expected complete records of 3074 bytes, got 0 bytes: test.bin"),
    ("train.bin", bytes(3_074) + b"\0\x64" + bytes(PIXELS), "a label from 0 to 99, got 100: train.bin record 1"),
    ("test.bin", None, "expected fine_label_names.txt, train.bin, test.bin in .*, got no test.bin"),
    ("fine_label_names.txt", b"apple\npear\n", "expected the classes apple, .* got apple, pear: "),
    ("fine_label_names.txt", b"\xff\xfe", "expected the classes apple, .* in fine_label_names.txt"),
    ("train/apple/0.png", b"", "expected an image, got 0 bytes that do not open"),
    ("train/apple/0.png", as_png(np.zeros(PIXELS, np.uint8)), "images or the binary version of cifar100, got both"),
])  # fmt: skip
def test_a_bad_file_is_one_line_and_writes_nothing(tmp_path, capsys, name, data, message):
    files = {**binary("cifar100"), name: data}
    unpack(tmp_path / "cifar-100-binary", {key: value for key, value in files.items() if value is not None})
    command = ["build", "cifar100", "--tier", "partial", "--allow_partial", "--raw", str(tmp_path)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        RAW["cifar100"](tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.nightly
@settings(max_examples=1_000, deadline=None)
@given(
    st.sampled_from(sorted(READERS)),
    st.lists(st.integers(0, 255), max_size=2),
    st.integers(-2, 2),
    st.binary(max_size=3),
)
def test_any_batch_is_parsed_or_refused(key, labels, more, start):
    reader = READERS[key]
    front = (start + bytes(3))[: reader.label_bytes - 1]
    data = b"".join(front + bytes([label]) + bytes(PIXELS) for label in labels)
    data = data + bytes(more) if more >= 0 else data[:more]
    if labels and not more and max(labels) < len(reader.task.labels):
        assert [label for _, label in reader._records(data, "a.bin")] == labels
    else:
        with pytest.raises(ValueError, match=r"^expected (a label|complete records) [^\n]*: a\.bin"):
            list(reader._records(data, "a.bin"))
