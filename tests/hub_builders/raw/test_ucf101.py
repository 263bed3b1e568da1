import contextlib
import re
import sys
import weakref
import zipfile
from collections import Counter
from functools import cache
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value, Video
from hypothesis import given, settings
from hypothesis import strategies as st

from mubench.hub_builders import decode
from mubench.hub_builders.__main__ import main
from mubench.hub_builders.dataset import sources
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.decoding import frames
from mubench.hub_builders.dataset.load import load_task, task_info
from mubench.hub_builders.mini import ucf101 as video
from mubench.hub_builders.raw import HUB, RAW
from mubench.hub_builders.raw import _hub as hub
from mubench.hub_builders.raw import _recordings as recordings
from mubench.hub_builders.raw.ucf101 import _parse_classes, _parse_list
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.utils.spool import read_bytes
from tests.fixtures.mini_models import train_models
from tests.fixtures.mini_rules import check
from tests.fixtures.small_nets import by_features
from tests.hub_builders.dataset.test_decoding import clip
from tests.hub_builders.raw.test_raw import contents, tar, unpack

TASK = TASKS["ucf101"]
NAMES = ("HandstandPushups", "Archery")
GROUPS, TAKES = range(1, 14), range(1, 6)


@cache
def avi(number, pictures=3):
    return clip(number, "avi", "mpeg4", pictures)[1]


def name_of(label, group, take, spelled=None):
    """Return a clip's name; the original has two spellings of one class."""
    return f"{label}/v_{spelled or label.replace('stand', 'Stand')}_g{group:02d}_c{take:02d}.avi"


def lists(names=NAMES):
    """Return the official lists of a small data set."""
    lines = {
        name: [name_of(label, group, take, label) for label in names for group in groups for take in TAKES]
        for name, groups in (("trainlist01.txt", range(8, 14)), ("testlist01.txt", range(1, 8)))
    }
    numbers = {label: number for number, label in enumerate(names, 1)}
    lines["trainlist01.txt"] = [f"{line} {numbers[line.split('/')[0]]}" for line in lines["trainlist01.txt"]]
    lines["classInd.txt"] = [f"{number} {label}" for label, number in numbers.items()]
    return {name: ("\r\n".join(found) + "\r\n").encode() for name, found in lines.items()}


def clips(names=NAMES):
    return {
        name_of(label, group, take): avi((i, group, take))
        for i, label in enumerate(names)
        for group in GROUPS
        for take in TAKES
    }


def files(names=NAMES):
    packed = {f"stand-in/videos/{name}": data for name, data in clips(names).items()}
    return {**packed, **{f"stand-in/splits/{name}": data for name, data in lists(names).items()}}


@pytest.fixture
def raw(tmp_path):
    """Return a folder with a small archive in the layout."""
    tar(tmp_path / "ucf101_layout_fir.tar", files())
    return tmp_path


def test_the_lists_decide_the_split_regardless_of_case(raw):
    splits = RAW["ucf101"](raw)
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 60, "test": 70}
    assert {row["group"] for row in splits["train"]} == {f"g{group:02d}" for group in range(8, 14)}
    stored = {read_bytes(row["video"]["bytes"]): NAMES[row["label"]] for rows in splits.values() for row in rows}
    assert stored == {data: name.split("/")[0] for name, data in clips().items()}


def test_missing_clips_are_logged(tmp_path, caplog):
    some = files()
    gone = next(name for name in some if name.endswith(".avi"))
    del some[gone]
    tar(tmp_path / "ucf101_layout_fir.tar", some)
    splits = RAW["ucf101"](tmp_path)
    assert sum(map(len, splits.values())) == 129
    assert "1 clips of the lists are missing" in caplog.text and gone.split("/")[-1].casefold() in caplog.text


def test_a_video_with_another_name_is_refused(tmp_path):
    tar(tmp_path / "ucf101_layout_fir.tar", {**files(), "videos/Walk/v_Walk_g1_c01.avi": b"1"})
    with pytest.raises(ValueError, match=r"^expected clips called .*, got videos/Walk/v_Walk_g1"):
        RAW["ucf101"](tmp_path)


def test_indices_follow_the_lists(raw):
    names = {data: name for name, data in clips().items()}
    train = sorted(RAW["ucf101"](raw)["train"], key=lambda row: row["source_index"])
    listed = [line.split()[0] for line in lists()["trainlist01.txt"].decode().splitlines()]
    assert [names[read_bytes(row["video"]["bytes"])].casefold() for row in train] == [one.casefold() for one in listed]


@pytest.mark.parametrize("place", ["", "ucfTrainTestlist/", "UCF-101/splits/", "zip"])
def test_lists_are_found_anywhere(raw, tmp_path_factory, place):
    loose = tmp_path_factory.mktemp("loose")
    unpack(loose / "UCF-101", clips())
    if place == "zip":
        with zipfile.ZipFile(loose / "UCF101TrainTestSplits-RecognitionTask.zip", "w") as archive:
            [archive.writestr(f"ucfTrainTestlist/{name}", data) for name, data in lists().items()]
    else:
        unpack(loose, {f"{place}{name}": data for name, data in lists().items()})
    assert contents(RAW["ucf101"](loose)) == contents(RAW["ucf101"](raw))


def test_files_and_hub_give_the_same_ids(raw, tmp_path, monkeypatch):
    names = ("HandstandPushups", "YoYo")
    tar(raw / "ucf101_layout_fir.tar", files(names))
    unpack(tmp_path / "hub", clips(names))

    def load(name, config, split, revision):
        assert (name, revision, split) == (TASK.source.hub_id, TASK.source.revision, "train")
        table = {
            "video": [{"bytes": None, "path": str(tmp_path / "hub" / one)} for one in clips(names)],
            "label": [0] * len(clips(names)),
        }
        plain = Features({"video": {"bytes": Value("binary"), "path": Value("string")}, "label": Value("int64")})
        features = Features({"video": Video(), "label": ClassLabel(names=["some", "order"])})
        return Dataset.from_dict(table, features=plain).cast(features)

    monkeypatch.setattr(hub, "load_dataset", load)
    found, expected = contents(HUB["ucf101"]()), contents(RAW["ucf101"](raw))
    for split in ("train", "test"):
        assert found[split].keys() == expected[split].keys()
        for name, row in found[split].items():
            assert {**row, "label": TASK.labels[row["label"]]} == {
                **expected[split][name], "label": names[expected[split][name]["label"]]
            }  # fmt: skip


def test_a_stand_in_is_refused_as_full(raw, capsys):
    assert main(["build", "ucf101", "--tier", "full", "--raw", str(raw), "--out", str(raw / "out")]) == 2
    err = capsys.readouterr().err
    assert "expected the 101 classes of UCF101 in tier full, got 2 others such as HandstandPushups" in err
    assert err.count("\n") == 1 and not (raw / "out").exists()


def test_the_right_classes_with_too_few_clips_are_refused_as_full(tmp_path):
    tar(tmp_path / "ucf101_layout_fir.tar", files())
    every = "".join(f"{number} {name}\n" for number, name in enumerate(TASK.labels, 1)).encode()
    texts = {**lists(TASK.labels), "classInd.txt": every}
    unpack(tmp_path / "UCF-101", {**clips(TASK.labels[36:38]), **texts})
    with pytest.raises(ValueError, match="expected training rows of every label of ucf101, got none of ApplyEye"):
        sources.load_rows(TASK, "full", tmp_path)


def test_a_stand_in_keeps_its_classes(raw):
    folder = build("ucf101", tier="partial", raw=raw, out=raw, allow_partial=True)
    info = task_info("ucf101", data=folder)
    assert (info.labels, info.tier) == (NAMES, "partial")
    assert info.counts == {"train": 60, "validation": 14, "test": 56}
    ds = decode(load_task("ucf101", 10, data=folder))
    assert ds["forget"].features["label"].names == list(NAMES)
    row = ds["forget"][0]
    assert row["video"].shape == (3, 16, 24, 3) and row["group"] in {f"g{group:02d}" for group in range(8, 14)}


def test_another_task_has_the_classes_of_the_table(mini, tmp_path):
    assert task_info("cifar10", data=mini).labels == TASKS["cifar10"].mini_labels
    assert sources.with_source_labels(TASKS["imdb"], "full", tmp_path) is TASKS["imdb"]
    assert sources.with_source_labels(TASK, "mini", None) is TASK


def broken(data):
    """Return a video whose header promises all frames and whose data end early, as a whole RIFF file."""
    shorter = data[: len(data) * 2 // 3]
    return shorter[:4] + (len(shorter) - 8).to_bytes(4, "little") + shorter[8:]


FIRST = "stand-in/videos/Archery/v_Archery_g09_c01.avi"
LIST = "stand-in/splits/"


@pytest.mark.parametrize(("name", "data", "message"), [
    (FIRST, avi((1, 9, 1))[:-100], "expected a complete video, got one truncated after .* frames: .*g09_c01"),
    (FIRST, broken(avi((1, 9, 1), 40)), "expected a complete video, got one truncated after .* frames: .*g09_c01"),
    (FIRST, avi((1, 9, 1))[:900], "expected a video, got 900 bytes that do not open or end after 0 fr.*g09_c01"),
    (FIRST, b"", "expected a video, got 0 bytes that do not open or end after 0 frames: .*g09_c01"),
    (f"{LIST}classInd.txt", b"1 A\n3 B\n", "expected lines <number> <Class>, numbered from 1.*splits/classInd.txt"),
    (f"{LIST}classInd.txt", b"1 A\n2 a\n", "expected lines <number> <Class>, .*each class once, got others"),
    (f"{LIST}classInd.txt", b"1 Archery\n", "expected lines <Class>/v_<Class>.* got 'HandstandPushups/.*trainlist01"),
    (f"{LIST}trainlist01.txt", b"Archery/v_Archery_g09_c01.avi 1", "expected lines <Class>/v_.* got 'Archery/"),
    (f"{LIST}trainlist01.txt", b"Archery/v_Archery_g09_c01.avi 2\n" * 2, "expected every clip once, got 'Archery/"),
    (f"{LIST}trainlist01.txt", lists()["testlist01.txt"], "expected a clip in one of train.* got archery.* in both"),
    (f"{LIST}trainlist01.txt", b"\xff", "expected UTF-8 text, got other bytes: .*trainlist01.txt"),
    ("videos/Archery/v_Archery_g24_c01.avi", avi(1), "expected every clip of .* in a list, got another: .*g24_c01"),
    ("again/Archery/v_Archery_g09_c01.avi", avi(1), "expected every clip of .* once .*got another: again/Archery"),
    ("../Archery/v_Archery_g09_c01.avi", avi(1), "expected names inside the archive"),
])  # fmt: skip
def test_bad_input_is_one_line_and_nothing_is_written(tmp_path, capsys, name, data, message):
    tar(tmp_path / "ucf101_layout_fir.tar", {**files(), name: data})
    options = ["--tier", "partial", "--allow_partial", "--raw", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["build", "ucf101", *options]) == 2
    err = capsys.readouterr().err
    assert re.search(message, err) and err.count("\n") == 1, err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", ["classInd.txt", "trainlist01.txt", "testlist01.txt"])
def test_a_missing_list_is_named(tmp_path, missing):
    unpack(tmp_path, {name: data for name, data in files().items() if missing not in name})
    (tmp_path / "stand-in").rename(tmp_path / "UCF-101")
    with pytest.raises(FileNotFoundError, match=f"expected {missing} somewhere in .*, got none"):
        RAW["ucf101"](tmp_path)


@pytest.mark.parametrize("name", ["classInd.txt", "trainlist01.txt", "testlist01.txt"])
def test_different_copies_of_a_list_are_refused(raw, name):
    unpack(raw / "others" / "deep", {name: lists()[name].replace(b"\r\n", b"\n")})
    assert len(RAW["ucf101"](raw)["train"]) == 60, "the same lists with other line ends"
    unpack(raw / "others", {name: lists(("Archery", "Walk"))[name]})
    packed, loose = f"ucf101_layout_fir.tar/stand-in/splits/{name}", f"others/{name}"
    with pytest.raises(ValueError, match=rf"^expected one {name} in .*, got two that differ: {packed} and {loose}$"):
        RAW["ucf101"](raw)


class Frame:
    """A decoded frame."""


class Container(contextlib.nullcontext):
    """A video of ten frames that counts the ones in memory."""

    def __init__(self):
        super().__init__(self)
        self.streams = SimpleNamespace(video=[SimpleNamespace(frames=10)])
        self.kept = []

    def decode(self, video):
        seen = weakref.WeakSet()
        for _ in range(10):
            seen.add(frame := Frame())
            yield frame
            del frame
            self.kept.append(len(seen))


def test_the_check_of_a_video_holds_one_frame_at_a_time(monkeypatch):
    container = Container()
    monkeypatch.setattr(av, "open", lambda *_: container)
    assert recordings.check_video(b"data", "here") == b"data"
    assert container.kept == [1] * 10


TEXTS = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.one_of(
            st.text(max_size=20),
            st.sampled_from(["1 Archery", "2 YoYo", "Archery/v_Archery_g01_c01.avi", "YoYo/v_YoYo_g02_c03.avi 2", ""]),
        ),
        max_size=5,
    ).map(lambda lines: "\n".join(lines).encode()),
)


def parse_or_none(read_text, *arguments):
    """Return the result of a reader, or ``None`` after an error of one line."""
    try:
        return read_text(*arguments)
    except ValueError as raised:
        error = raised
    assert not isinstance(error, UnicodeError)
    assert re.fullmatch(r"expected [^\n]+", str(error))
    return None


@pytest.mark.nightly
@settings(max_examples=1_000, deadline=None)
@given(TEXTS)
def test_any_text_is_parsed_or_refused(data):
    names = parse_or_none(_parse_classes, data, "list")
    if names is not None:
        assert [line.split() for line in data.decode().splitlines() if line.strip()] == [
            [str(number), name] for number, name in enumerate(names, 1)
        ]
    found = parse_or_none(_parse_list, data, "list", ("Archery", "YoYo"))
    if found is not None:
        lines = [line.split() for line in data.decode().splitlines() if line.strip()]
        assert list(found) == [line[0].casefold() for line in lines] and len(found) == len(lines)
        assert all(name.startswith(("archery", "yoyo")[label]) for name, label in found.items())


@pytest.fixture(scope="module")
def rows(mini_rows):
    return mini_rows("ucf101")


def pixels(some):
    """Return clips `(N, 3, 8, 16, 16)` at half their size."""
    shown = np.stack([np.stack(list(frames(row["video"]["bytes"]))) for row in some])
    assert shown.shape[1:] == (8, 32, 32, 3)
    return torch.nn.functional.avg_pool3d(torch.tensor(shown).permute(0, 4, 1, 2, 3) / 255, (1, 2, 2))


def test_mini_groups_are_in_one_split_and_have_every_action(rows):
    groups = {split: Counter((row["group"], row["label"]) for row in part) for split, part in rows.items()}
    assert all(set(found.values()) == {video.TAKES} for found in groups.values())
    seen = [group for found in groups.values() for group in {group for group, _ in found}]
    assert sorted(seen) == [f"g{group:02d}" for group in range(1, 26)]
    assert tuple(video.ACTIONS) == TASK.mini_labels


@pytest.mark.slow
def test_the_lens_is_covered_as_often_in_every_split(rows):
    for split, part in rows.items():
        shown = pixels(part)
        covered = shown[:, :, :, 0, 0].std(1).mean(1) > 0.05  # a corner is grey unless it is a tile
        wide = 4 * (0.24 / len(part)) ** 0.5
        assert abs(covered.float().mean() - video.COVERED) < wide, split
        assert len({row["video"]["bytes"] for row in part}) == len(part)


def test_a_mini_clip_shows_its_action():
    falling = torch.tensor(video._scene(9, "Falling")).mean(3)
    rows = torch.arange(32.0)
    centres = [float((frame.sum(1) * rows).sum() / frame.sum()) for frame in (falling - falling.min()).unbind()]
    assert centres == sorted(centres) and centres[-1] - centres[0] > 10
    growing = video._scene(9, "Growing").mean((1, 2, 3))
    assert (np.diff(growing) > 0).all()


@pytest.mark.nightly
@pytest.mark.parametrize("family", ["canonical", "group"])
def test_the_mini_task_follows_the_rules(rows, family):
    found = check(*train_models(TASK, rows, by_features(rows, pixels, epochs=12, learning_rate=1e-3), family=family))
    sys.stdout.write(f"\nucf101, {family}: {found}")
