"""NLVR2 and its first version in their own layouts, on generated images and on the original files."""

import io
import json
import os
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mubench.hub_builders.__main__ import main
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task, task_info
from mubench.hub_builders.raw import HUB, RAW, nlvr2
from mubench.hub_builders.utils.spool import read_bytes
from tests.hub_builders.raw.test_raw import contents, picture, tar, unpack

REAL = Path(os.environ.get("MUBENCH_DATA", Path(__file__).parents[3] / "../shared/data")) / "raw"

PARTS = ("train", "dev", "test1", "test2")


def line(**fields):
    return json.dumps({"query": "cats3", "writer": "7", **fields}) + "\n"


def layout(sets=13):
    """Return files in the layout of NLVR2: four pairs a set in train, one elsewhere, two statements a pair."""
    files = {}
    for place, part in enumerate(PARTS):
        lines = []
        for pair in (f"{part}-{i}-{j}" for i in range(sets) for j in range(4 if part == "train" else 1)):
            number = (place, *map(int, pair.split("-")[1:]))
            files[f"images/{part}/{pair}-img0.png"] = picture((*number, 0), "PNG", size=(20, 30))
            files[f"images/{part}/{pair}-img1.png"] = picture((*number, 1), "JPEG", size=(16, 16))
            for k, label in ((0, "True"), (1, "False")):
                lines.append(line(identifier=f"{pair}-{k}", sentence=f"Cats of {pair}, {k}.", label=label))
        files[f"data/{part}.json"] = "".join(lines).encode()
    return {**files, "data/balanced/balanced_dev.json": b"not read", "README.md": b"about"}


def drawing(number):
    """Return a drawing of the first version: three boxes with gaps between them."""
    coarse = np.random.default_rng(number).integers(0, 256, (2, 8, 4)).astype(np.uint8)
    grey = coarse.repeat(50, 0).repeat(50, 1)
    grey[:, 100:150] = grey[:, 250:300] = 128
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue()


def layout_1(rows=10):
    """Return files in the layout of NLVR's first version."""
    files = {}
    for place, part in enumerate(("dev", "test")):
        names = [f"{100 + i // 2}-{i % 2}" for i in range(rows)]
        lines = [
            line(identifier=name, sentence=f"A box, {name}.", label=("true", "false")[i % 2], directory="0")
            for i, name in enumerate(names)
        ]
        files[f"nlvr/{part}/{part}.json"] = "".join(lines).encode()
        for i, name in enumerate(names):
            for order in range(6):
                files[f"nlvr/{part}/images/0/{part}-{name}-{order}.png"] = drawing((place, i, order))
    return files


def pixels(media):
    with Image.open(io.BytesIO(read_bytes(media["bytes"]))) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def test_folder_archive_and_image_zips_give_the_same_rows(tmp_path):
    files = layout()
    unpack(tmp_path / "a" / "nlvr2", files)
    (tmp_path / "b").mkdir()
    tar(tmp_path / "b" / "nlvr2.tar.xz", {f"nlvr2/{name}": data for name, data in reversed(files.items())})
    unpack(tmp_path / "c" / "nlvr2", {name: data for name, data in files.items() if "images" not in name})
    for part in PARTS:
        with zipfile.ZipFile(tmp_path / "c" / f"{part}_img.zip", "w") as archive:
            [archive.writestr(name, data) for name, data in files.items() if f"images/{part}/" in name]
    splits = RAW["nlvr2"](tmp_path / "a")
    assert contents(splits) == contents(RAW["nlvr2"](tmp_path / "b")) == contents(RAW["nlvr2"](tmp_path / "c"))
    assert {split: len(rows) for split, rows in splits.items()} == {
        "train": 104,
        "validation": 26,
        "test": 26,
        "ood": 26,
    }
    row = splits["train"][5]
    assert {key: row[key] for key in ("example_id", "source_index", "group", "text", "label")} == {
        "example_id": "train-0-2-1", "source_index": 5, "group": "train-0",
        "text": "Cats of train-0-2, 1.", "label": 0,
    }  # fmt: skip
    for side in (0, 1):
        assert read_bytes(row[f"image_{side}"]["bytes"]) == files[f"images/train/train-0-2-img{side}.png"]
    assert {row["example_id"].split("-")[0] for row in splits["ood"]} == {"test2"}


def test_a_build_keeps_image_sets_whole_and_has_an_ood_split(tmp_path):
    unpack(tmp_path / "nlvr2", layout())
    data = build("nlvr2", tier="partial", allow_partial=True, raw=tmp_path, out=tmp_path, family="group")
    assert task_info("nlvr2", data=data, family="group").counts["ood"] == 26
    rows = load_task("nlvr2", 5, data=data, family="group")
    assert len(rows["forget"]) == 8 and set(rows["forget"]["group"][:]).isdisjoint(rows["retain"]["group"][:])


def test_the_first_version_gives_the_left_box_and_the_rest(tmp_path):
    files = layout_1()
    (tmp_path / "a").mkdir()
    tar(tmp_path / "a" / "nlvr1.tar.xz", files)
    unpack(tmp_path, files)
    splits = RAW["nlvr2"](tmp_path / "a")
    assert contents(splits) == contents(RAW["nlvr2"](tmp_path))
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 60, "test": 60}
    row = splits["train"][8]
    assert (row["example_id"], row["group"], row["label"]) == ("dev-100-1-2", "dev-100", 0)
    with Image.open(io.BytesIO(files["nlvr/dev/images/0/dev-100-1-2.png"])) as whole:
        expected = np.asarray(whole.convert("RGB"))
    assert (pixels(row["image_0"]) == expected[:, :100]).all()
    assert (pixels(row["image_1"]) == expected[:, 150:]).all()


def test_nlvr2_takes_precedence_over_its_first_version(tmp_path):
    unpack(tmp_path, layout_1())
    unpack(tmp_path / "nlvr2", layout())
    assert set(RAW["nlvr2"](tmp_path)) == {"train", "validation", "test", "ood"}


def test_the_first_version_is_never_the_full_tier(tmp_path, capsys):
    unpack(tmp_path, layout_1())
    assert main(["build", "nlvr2", "--tier", "full", "--raw", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert (
        "expected 86373 train, 6982 validation, 6967 test, 6970 ood rows of nlvr2, got 60" in capsys.readouterr().err
    )


def test_the_hub_has_no_images(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match=r"expected the images of NLVR2, got none on the Hub: .* --raw DIR"):
        HUB["nlvr2"]()
    assert main(["build", "nlvr2", "--tier", "full", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "out").exists()


GOOD = {"identifier": "dev-0-0-0", "sentence": "A cat.", "label": "True"}


@pytest.mark.parametrize(("name", "data", "message"), [
    ("images/dev/dev-0-0-img1.png", None, "expected the image dev-0-0-img1.png of dev-0-0-0, got 181 others"),
    ("images/dev/dev-0-0-img1.png", picture(1)[:400], "expected an image, got 400 bytes that do not open: .*img1"),
    ("more/dev-0-0-img1.png", picture(1), "expected every file once, got dev-0-0-img1.png again"),
    ("more/dev.json", b"", "expected every file once, got dev.json again"),
    ("data/test1.json", None, "expected train.json, .* got no test1.json"),
    ("data/dev.json", b"\n", "expected at least one line, got none: dev.json"),
    ("data/dev.json", b"{", "expected a JSON object, got .*: dev.json line 1"),
    ("data/dev.json", line(**GOOD).encode() * 2, "expected every identifier once, got 'dev-0-0-0' again: dev.json"),
    ("data/dev.json", line(**{**GOOD, "label": "maybe"}).encode(), "a class out of False, True, got 'Maybe'"),
    ("data/dev.json", line(**{**GOOD, "sentence": " "}).encode(), "expected a sentence, got an empty one: dev.json"),
    ("data/dev.json", line(**{**GOOD, "identifier": "../x"}).encode(), "identifiers like .*, got '../x': dev.json"),
])  # fmt: skip
def test_a_bad_file_is_one_line_and_writes_nothing(tmp_path, capsys, name, data, message):
    files = {**layout(), name: data}
    unpack(tmp_path / "nlvr2", {key: value for key, value in files.items() if value is not None})
    command = ["build", "nlvr2", "--tier", "partial", "--allow_partial", "--raw", str(tmp_path)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        RAW["nlvr2"](tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "data", "message"), [
    ("nlvr/dev/images/0/dev-100-0-5.png", None, "expected the image dev-100-0-5.png of 100-0, got 119 others"),
    ("nlvr/dev/images/0/dev-100-0-5.png", picture(1), "expected images of 400x100, got 32x32"),
    ("nlvr/test/test.json", None, "expected dev.json, test.json in .*, got no test.json"),
    ("nlvr/test/test.json", line(**GOOD).encode(), r"expected identifiers like .*, got 'dev-0-0-0': test.json"),
])  # fmt: skip
def test_a_bad_file_of_the_first_version_is_named(tmp_path, name, data, message):
    files = {**layout_1(), name: data}
    unpack(tmp_path, {key: value for key, value in files.items() if value is not None})
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        RAW["nlvr2"](tmp_path)


words = st.sampled_from(["dev-0-0-0", "dev-0-0-1", "dev", "True", "False", "true", "", " ", "A cat.\u2028", 1, None])
objects = st.fixed_dictionaries({}, optional=dict.fromkeys(("identifier", "sentence", "label", "more"), words))
good = st.builds(lambda a, b: {**GOOD, "identifier": f"dev-0-{a}-0", "label": b}, st.integers(0, 3), words)
lines = st.one_of(objects.map(json.dumps), good.map(json.dumps), st.text(max_size=4), st.just("[" * 9))


@pytest.mark.nightly
@settings(max_examples=1_000, deadline=None)
@given(st.lists(lines, max_size=4))
def test_any_statements_are_parsed_or_refused(lines):
    try:
        found = nlvr2._parse_statements("\n".join(lines).encode(), nlvr2.IDENTIFIER, "a.json")
    except ValueError as error:
        message = str(error)
    else:
        expected = [json.loads(one) for one in "\n".join(lines).split("\n") if one.strip(" \t\r")]
        assert [(row["identifier"], row["sentence"]) for row in found] == [
            (row["identifier"], row["sentence"]) for row in expected
        ]
        assert [("False", "True")[row["label"]] for row in found] == [row["label"].capitalize() for row in expected]
        assert len({row["identifier"] for row in found}) == len(found) > 0
        return
    assert message.startswith("expected ") and "a.json" in message and "\n" not in message


@pytest.mark.slow
@pytest.mark.skipif(
    not (REAL / "nlvr2_annotations.tar.xz").is_file(), reason="needs nlvr2_annotations.tar.xz: set MUBENCH_DATA"
)
def test_the_real_statements_are_as_many_as_published():
    counts = {}
    with tarfile.open(REAL / "nlvr2_annotations.tar.xz") as archive:
        for part in ("dev", "test1", "test2"):
            data = archive.extractfile(f"nlvr2/data/{part}.json").read()
            rows = nlvr2._parse_statements(data, nlvr2.IDENTIFIER, f"{part}.json")
            counts[part] = (len(rows), sum(row["label"] for row in rows))
            assert len({row["identifier"].rsplit("-", 1)[0] for row in rows}) in (4_051, 4_041, 4_074)
    assert counts == {"dev": (6_982, 3_551), "test1": (6_967, 3_558), "test2": (6_970, 3_584)}


@pytest.mark.nightly
@pytest.mark.skipif(not (REAL / "nlvr1.tar.xz").is_file(), reason="needs nlvr1.tar.xz: set MUBENCH_DATA")
def test_the_real_first_version_stands_in():
    splits = nlvr2._read_first_version(REAL / "nlvr1.tar.xz")
    labels = {split: Counter(row["label"] for row in rows) for split, rows in splits.items()}
    assert labels == {"train": {1: 6 * 547, 0: 6 * 442}, "test": {1: 6 * 556, 0: 6 * 434}}
    assert len({row["group"] for row in splits["train"]}) == 267
    row = splits["train"][0]
    assert [pixels(row[name]).shape for name in ("image_0", "image_1")] == [(100, 100, 3), (100, 250, 3)]
