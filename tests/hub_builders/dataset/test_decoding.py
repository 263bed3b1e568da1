"""Audio and video columns decoded on access."""

import io
import subprocess
import sys

import av
import numpy as np
import pytest
import soundfile
from datasets import Audio, ClassLabel, Dataset, DatasetDict, Features, Value, Video, load_dataset

from mubench.hub_builders import decode
from mubench.hub_builders.dataset.decoding import frames

FORMATS = {"ffv1": "bgr0", "mpeg4": "yuv420p", "mjpeg": "yuvj420p"}
PLAIN = {"bytes": Value("binary"), "path": Value("string")}


def flac(number, channels=1):
    sound = np.random.default_rng(number).integers(-9_000, 9_000, (50 + number, channels)).astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, sound, 16_000, format="FLAC", subtype="PCM_16")
    return sound, buffer.getvalue()


def clip(number, form="avi", codec="ffv1", count=4):
    """Return frames and bytes of a video, lossless by default."""
    images = np.random.default_rng(number).integers(0, 256, (count, 16, 24, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form) as container:
        stream = container.add_stream(codec, rate=8)
        stream.width, stream.height, stream.pix_fmt = 24, 16, FORMATS[codec]
        for frame in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return images, buffer.getvalue()


SOUNDS = [flac(i) for i in range(6)]
CLIPS = [clip(i) for i in range(6)]
FEATURES = Features({"audio": Audio(), "video": Video(), "label": ClassLabel(names=["no", "yes"])})


@pytest.fixture
def rows():
    """Return six rows in the columns of a published task."""
    table = {
        "audio": [{"bytes": data, "path": None} for _, data in SOUNDS],
        "video": [{"bytes": data, "path": None} for _, data in CLIPS],
        "label": [i % 2 for i in range(6)],
    }
    plain = Features({**FEATURES, "audio": PLAIN, "video": PLAIN})
    return Dataset.from_dict(table, features=plain).cast(FEATURES)


def check(row, number):
    sound, video = row["audio"], row["video"]
    assert sound["array"].dtype == np.float32 and sound["sampling_rate"] == 16_000
    assert np.array_equal(sound["array"], SOUNDS[number][0][:, 0] / np.float32(32_768))
    assert video.dtype == np.uint8 and np.array_equal(video, CLIPS[number][0])
    assert row["label"] == number % 2


def test_every_kind_of_access_decodes_to_arrays(rows):
    ds = decode(rows)
    check(ds[2], 2)
    check({name: column[1] for name, column in ds[3:5].items()}, 4)
    check(ds.select([5, 1])[1], 1)
    for number, row in enumerate(ds):
        check(row, number)
    assert ds.features["label"].names == ["no", "yes"] and ds.features["label"] == rows.features["label"]
    assert ds["video"][3].shape == (4, 16, 24, 3)


def test_the_original_dataset_keeps_its_features(rows):
    decode(rows)
    assert type(rows.features["audio"]) is Audio and type(rows.features["video"]) is Video


def test_rows_can_be_filtered_and_mapped_afterwards(rows):
    ds = decode(rows)
    counted = ds.map(lambda row: {"samples": len(row["audio"]["array"])}, remove_columns=["audio", "video"])
    assert counted["samples"][:] == list(range(50, 56))
    check(ds.filter(lambda label: label == 1, input_columns="label")[1], 3)


@pytest.fixture
def folder(rows, tmp_path):
    for split, part in (("train", [0, 1, 2, 3]), ("test", [4, 5])):
        rows.select(part).to_parquet(tmp_path / f"{split}.parquet")
    return {split: str(tmp_path / f"{split}.parquet") for split in ("train", "test")}


def test_all_splits_at_once(folder):
    ds = decode(load_dataset("parquet", data_files=folder))
    assert isinstance(ds, DatasetDict)
    check(ds["test"][1], 5)


def test_streaming_datasets_are_decoded_and_keep_their_class_names(folder):
    ds = decode(load_dataset("parquet", data_files=folder, streaming=True))
    for number, row in enumerate(ds["train"]):
        check(row, number)
    assert ds["test"].features["label"].names == ["no", "yes"]
    check(next(iter(ds["test"].skip(1))), 5)
    assert "torchcodec" not in sys.modules


def test_a_stream_without_known_columns_is_refused(rows):
    with pytest.raises(ValueError, match="expected rows with known columns, got a stream"):
        decode(rows.to_iterable_dataset().map(lambda row: row))


def test_a_dataset_without_media_is_returned_unchanged():
    ds = Dataset.from_dict({"text": ["a"]})
    assert decode(ds) is ds


def test_channels_are_averaged_and_files_outside_the_row_are_read(tmp_path):
    sound, data = flac(3, channels=2)
    (tmp_path / "a.flac").write_bytes(data)
    features = Features({"audio": Audio()})
    table = {"audio": [{"bytes": None, "path": str(tmp_path / "a.flac")}]}
    ds = decode(Dataset.from_dict(table, features=Features({"audio": PLAIN})).cast(features))
    assert np.allclose(ds[0]["audio"]["array"], sound.mean(axis=1) / 32_768, atol=1e-6)


@pytest.mark.parametrize(("form", "codec"), [("avi", "mpeg4"), ("mp4", "mpeg4"), ("avi", "mjpeg")])
def test_lossy_videos_decode_to_all_their_frames(form, codec):
    images = list(frames(clip(1, form, codec, 9)[1]))
    assert len(images) == 9 and {one.shape for one in images} == {(16, 24, 3)}


def test_decode_is_imported_without_datasets_or_decoders():
    code = (
        "import sys, mubench.hub_builders as room\n"
        "print(room.decode.__name__, {'av', 'soundfile', 'datasets', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "decode set()"
