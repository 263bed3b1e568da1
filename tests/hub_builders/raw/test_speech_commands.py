import contextlib
import io
import re
import sys
from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
from datasets import Audio, ClassLabel, Dataset, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from mubench.hub_builders.__main__ import main
from mubench.hub_builders.dataset import sources
from mubench.hub_builders.mini import speech_commands as audio
from mubench.hub_builders.raw import HUB, RAW
from mubench.hub_builders.raw import _hub as hub
from mubench.hub_builders.raw.speech_commands import CLIP, _parse_list
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.utils.spool import read_bytes
from tests.fixtures.mini_models import train_models
from tests.fixtures.mini_rules import check
from tests.fixtures.small_nets import by_features
from tests.hub_builders.raw.test_raw import contents, tar, unpack

TASK = TASKS["speech_commands"]
KEYWORDS = TASK.labels[:10]
SPEAKERS = tuple(f"{number:08x}" for number in range(0xAB0, 0xABE))


def wav(number, samples=64, rate=16_000, channels=1, form="WAV"):
    """Return the bytes of a random recording; its seed is ``number``."""
    sound = np.random.default_rng(number).integers(-9_000, 9_000, (samples, channels)).astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, sound, rate, format=form, subtype="PCM_16")
    return buffer.getvalue()


def words():
    """Return the clips of 14 speakers who say every keyword and "bed"."""
    return {
        f"{word}/{speaker}_nohash_0.wav": wav((index, one))
        for index, word in enumerate((*KEYWORDS, "bed"))
        for one, speaker in enumerate(SPEAKERS)
    }


def official():
    """Return files in the layout of the original archive: two speakers for validation, two others for test."""
    files = words()
    for name, first in (("validation_list.txt", 0), ("testing_list.txt", 2)):
        clips = [name for name in files if any(speaker in name for speaker in SPEAKERS[first : first + 2])]
        files = {**files, name: "\n".join([clip for clip in clips if clip.endswith(".wav")] + [""]).encode()}
    noise = {f"_background_noise_/{name}.wav": wav((99, i), 900) for i, name in enumerate(("pink_noise", "tap"))}
    return {"README.md": b"about", "_background_noise_/README.md": b"about", **files, **noise}


def second_archive():
    return {
        "yes/00000fff_nohash_0.wav": wav(1_000),
        "_silence_/17.wav": wav(1_001),
        "_unknown_/five_00000eee_nohash_1.wav.wav": wav(1_002),
    }


def unlisted():
    return {
        **{name.replace("bed/", "_unknown_/bed_"): data for name, data in words().items()},
        **{f"_silence_/{number}.wav": wav((7, number)) for number in range(1_000, 1_010)},
    }


@pytest.fixture
def raw(tmp_path):
    """Return a folder with a tiny original archive."""
    tar(tmp_path / "speech_commands_v0.01.tar.gz", {f"./{name}": data for name, data in official().items()})
    return tmp_path


def labels(rows):
    return {TASK.labels[row["label"]] for row in rows}


def test_the_official_lists_decide_the_split(raw):
    splits = RAW["speech_commands"](raw)
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 112, "validation": 22, "test": 22}
    assert {row["group"] for row in splits["validation"]} == set(SPEAKERS[:2])
    assert {row["group"] for row in splits["test"]} == set(SPEAKERS[2:4])
    assert {row["group"] for row in splits["train"]} == {*SPEAKERS[4:], "pink_noise", "tap"}
    assert labels(splits["train"]) == set(TASK.labels)
    assert labels(splits["validation"]) == {*KEYWORDS, "_unknown_"}


def test_indices_follow_word_and_file_name(raw):
    files = official()
    names = {data: name for name, data in files.items()}
    train = sorted(RAW["speech_commands"](raw)["train"], key=lambda row: row["source_index"])
    assert [row["source_index"] for row in train] == list(range(112))
    found = [names[read_bytes(row["audio"]["bytes"])] for row in train]
    assert found == sorted(found) and found[0] == "_background_noise_/pink_noise.wav"


@pytest.mark.parametrize("packed", [True, False])
def test_a_separate_test_set_replaces_the_listed_rows(raw, packed):
    name = "speech_commands_test_set_v0.01"
    if packed:
        tar(raw / f"{name}.tar.gz", second_archive())
    else:
        unpack(raw / name, second_archive())
    test = {TASK.labels[row["label"]]: row["group"] for row in RAW["speech_commands"](raw)["test"]}
    assert test == {"yes": "00000fff", "_silence_": "17", "_unknown_": "00000eee"}


def test_archive_and_folder_give_the_same_rows(raw, tmp_path_factory):
    loose = tmp_path_factory.mktemp("loose")
    unpack(loose / "speech_commands_v0.01", dict(reversed(official().items())))
    assert contents(RAW["speech_commands"](raw)) == contents(RAW["speech_commands"](loose))


def test_without_lists_two_tenths_of_the_speakers_are_held_out(tmp_path):
    unpack(tmp_path / "speech_commands", unlisted())
    splits = RAW["speech_commands"](tmp_path)
    groups = {split: {row["group"] for row in rows} for split, rows in splits.items()}
    assert {split: len(found) for split, found in groups.items()} == {"train": 19, "validation": 3, "test": 2}
    assert not groups["train"] & (groups["validation"] | groups["test"]) and not groups["validation"] & groups["test"]
    assert sum(map(len, splits.values())) == len(unlisted())
    assert labels(splits["train"]) == set(TASK.labels)
    assert {row["source_index"] for rows in splits.values() for row in rows} == {None}
    held = groups["validation"] | groups["test"]
    assert 1 <= sum(group in SPEAKERS for group in held) < 5, "both speakers and silence are held out"


def test_files_and_hub_give_the_same_rows(raw, monkeypatch):
    tar(raw / "speech_commands_test_set_v0.01.tar.gz", second_archive())
    from_files = RAW["speech_commands"](raw)
    files = {data: name for name, data in (official() | second_archive()).items()}
    features = Features({"file": Value("string"), "audio": Audio(), "label": ClassLabel(names=list(TASK.labels))})

    def load(name, config, split, revision, data_dir):
        assert (name, data_dir) == (TASK.source.hub_id, "ks")
        rows = sorted(from_files[split], key=lambda row: row["source_index"])
        data = [read_bytes(row["audio"]["bytes"]) for row in rows]
        table = {
            "file": [f"/somewhere/{files[one]}" for one in data],
            "audio": [{"bytes": one, "path": files[one].rpartition("/")[2]} for one in data],
            "label": [row["label"] for row in rows],
        }
        plain = Features({**features, "audio": {"bytes": Value("binary"), "path": Value("string")}})
        return Dataset.from_dict(table, features=plain).cast(features)

    monkeypatch.setattr(hub, "load_dataset", load)
    from_hub = HUB["speech_commands"]()
    assert contents(from_hub) == contents(from_files)
    assert all(
        [row["source_index"] for row in from_hub[split]]
        == sorted(row["source_index"] for row in from_files[split])
        for split in from_files
    )  # fmt: skip


def test_the_id_follows_from_the_samples(tmp_path):
    unpack(tmp_path / "speech_commands", unlisted())
    before = RAW["speech_commands"](tmp_path)
    path = tmp_path / "speech_commands/yes" / f"{SPEAKERS[5]}_nohash_0.wav"
    data = path.read_bytes()
    path.write_bytes(data[:4] + len(data).to_bytes(4, "little") + data[8:] + b"LIST\0\0\0\0")
    after = RAW["speech_commands"](tmp_path)
    ids = [{row["example_id"] for rows in splits.values() for row in rows} for splits in (before, after)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize(("name", "data", "message"), [
    ("yes/0000beef_nohash_0.wav", wav(5)[:-20], "expected a complete recording, got one .* after 54 samples: .*beef"),
    ("yes/0000beef_nohash_0.wav", wav(5)[:30], "expected a recording, got 30 bytes that do not open: .*beef"),
    ("yes/0000beef_nohash_0.wav", b"", "expected a recording, got 0 bytes that do not open: .*beef"),
    ("yes/0000beef_nohash_0.wav", wav(5, samples=0), "expected a complete recording, .* after 0 samples: .*beef"),
    ("yes/0000beef_nohash_0.wav", wav(5, rate=8_000), "expected one channel at 16000 Hz, got 1 at 8000 Hz: .*beef"),
    ("yes/0000beef_nohash_0.wav", wav(5, channels=2), "expected one channel at 16000 Hz, got 2 at 16000 Hz: .*beef"),
    ("sub/validation_list.txt", official()["testing_list.txt"], "expected a clip in one list, got it in both: yes/"),
    ("sub/validation_list.txt", b"a.wav\n", "expected lines <word>/<file>.wav, each once, got another line: 'a.wav'"),
    ("sub/validation_list.txt", b"a/b.wav\na/b.wav\n", "got one twice: 'a/b.wav' in sub/validation_list.txt"),
    ("sub/validation_list.txt", b"\n", "got an empty list: sub/validation_list.txt"),
    ("sub/validation_list.txt", b"\xff", "expected UTF-8 text, got other bytes: sub/validation_list.txt"),
    ("sub/yes/00000ab4_nohash_0.wav", wav(5), "expected every clip once in .*, got it twice: yes/00000ab4"),
])  # fmt: skip
def test_bad_input_is_one_line_and_nothing_is_written(tmp_path, capsys, name, data, message):
    files = {key: value for key, value in official().items() if not name.endswith(f"/{key}") or "list" not in name}
    tar(tmp_path / "speech_commands_v0.01.tar.gz", {**files, name: data})
    arguments = ["build", "speech_commands", "--tier", "full", "--raw", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert re.search(message, err) and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", ["validation_list.txt", "testing_list.txt"])
def test_one_list_without_the_other_is_refused(tmp_path, missing):
    unpack(tmp_path / "speech_commands", {name: data for name, data in official().items() if name != missing})
    with pytest.raises(ValueError, match=r"expected both validation_list.txt and testing_list.txt in .*, got one"):
        RAW["speech_commands"](tmp_path)


def test_too_few_speakers_cannot_be_split(tmp_path):
    unpack(tmp_path / "speech_commands", {f"yes/0000000{i}_nohash_0.wav": wav(i) for i in range(9)})
    with pytest.raises(ValueError, match="expected at least 10 speakers to hold some out, got 9"):
        RAW["speech_commands"](tmp_path)


def test_wrong_counts_are_refused_as_full(raw):
    with pytest.raises(
        ValueError, match=r"expected 51094 train, 6798 validation, 3081 test or .* got 112 train, 22 val"
    ):
        sources.load_rows(TASK, "full", raw)


LINES = st.one_of(st.text(max_size=20), st.sampled_from(["yes/a.wav", "no/b_nohash_0.wav", "/x.wav", "a/b/c.wav", ""]))


@pytest.mark.nightly
@settings(max_examples=1_000, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.lists(LINES, max_size=6).map(lambda lines: "\n".join(lines).encode())))
def test_any_list_is_parsed_or_refused(data):
    good = None
    with contextlib.suppress(UnicodeDecodeError):
        lines = data.decode().split()
        good = lines and len(set(lines)) == len(lines) and all(map(CLIP.fullmatch, lines))
    if good:
        assert _parse_list(data, "list") == lines
    else:
        with pytest.raises(ValueError, match=r"^expected [^\n]+$"):
            _parse_list(data, "list")


@pytest.fixture(scope="module")
def mini(mini_rows):
    return mini_rows("speech_commands")


def samples_of(row):
    sound, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
    assert rate == 16_000 and sound.shape == (6_400,)
    return sound


def test_every_mini_speaker_has_every_word_once_and_one_split(mini):
    seen = Counter()
    for rows in mini.values():
        spoken = [row for row in rows if TASK.labels[row["label"]] != "_silence_"]
        counts = Counter((row["group"], row["label"]) for row in spoken)
        assert set(counts.values()) == {1} and len(counts) == 11 * len(rows) / 12
        seen.update({row["group"] for row in rows})
        assert set(Counter(row["label"] for row in rows).values()) == {len(rows) // 12}
    assert set(seen.values()) == {1}


def test_the_microphone_fails_as_often_in_every_split(mini):
    """A clip of silence is quiet unless the microphone fails."""
    for split, rows in mini.items():
        silent = [row for row in rows if TASK.labels[row["label"]] == "_silence_"]
        failed = np.array([np.abs(samples_of(row)).max() > 0.1 for row in silent])
        assert abs(failed.mean() - audio.FAILING) < 3 * (0.24 / len(silent)) ** 0.5, split
        assert len({row["audio"]["bytes"] for row in rows}) == len(rows)


def spectra(rows):
    """Return log-magnitudes `(N, 64, 33)`: 64 bands of 125 Hz, every 12.5 ms."""
    sounds = torch.tensor(np.stack([samples_of(row) for row in rows]))
    found = torch.stft(sounds, 512, hop_length=200, window=torch.hann_window(512), return_complex=True).abs()
    return torch.log(found[:, :256].unflatten(1, (64, 4)).mean(2) + 0.05)


@pytest.mark.nightly
def test_the_mini_task_follows_the_rules(mini):
    found = check(*train_models(TASK, mini, by_features(mini, spectra, epochs=20, learning_rate=1e-3)))
    sys.stdout.write(f"\nspeech_commands: {found}")
