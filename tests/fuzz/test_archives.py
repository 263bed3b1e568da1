"""Damaged and hostile archives: the rows of the undamaged one, or one line; never a traceback, never other rows."""

from __future__ import annotations

import io
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mubench.hub_builders.raw import RAW, _archive
from mubench.hub_builders.raw._archive import read_members
from mubench.hub_builders.utils.checksums import SUMS, sha256_of, write_sums
from tests.fuzz.cases import count_outcomes, shares
from tests.fuzz.test_shards import flip

FORMATS = {"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz", "tar.bz2": "w:bz2", "zip": ""}
FILES = {
    f"aclImdb/{split}/{label}/{number}_{'é' if number == 3 else 7}.txt": f"A {label} film, {number} {split}. ".encode()
    * 9
    for split in ("train", "test")
    for label in ("neg", "pos")
    for number in range(4)
} | {"aclImdb/noise.bin": random.Random(0).randbytes(3_000)}
NAMES = ["../x", "/x", "a/../../x", "a\\x", "a\x1b[2Jx", "a\nx", "\udcff", "a\u202ex", "x" * 300, "..", "é.txt"]


def pack(path: Path, files: dict[str, bytes], kind: str) -> Path:
    """Write an archive and, of a plain tar, the checksum that it needs."""
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name.encode("utf-8", "replace").decode(), data)
        return path
    with tarfile.open(path, FORMATS[kind], format=tarfile.PAX_FORMAT if len(files) % 2 else tarfile.GNU_FORMAT) as out:
        for name, data in files.items():
            add(out, name, data)
    return signed(path, kind)


def signed(path: Path, kind: str) -> Path:
    if kind == "tar":
        write_sums(path.parent, {path.name: sha256_of(path)})
    return path


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", **fields: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    archive.addfile(info, io.BytesIO(data))


def damage(data: bytes, generator: random.Random) -> bytes:
    """Return other bytes: cut, changed, longer, or in another order."""
    kind = generator.choice(["cut", "flip", "flip", "flip", "flips", "tail", "hole", "swap", "zeros"])
    at, to = sorted(generator.randrange(len(data) + 1) for _ in range(2))
    if kind in ("flip", "flips"):
        return flip(data, generator, 1 if kind == "flip" else generator.randrange(2, 99))
    return {
        "cut": data[:at],
        "tail": data + generator.randbytes(generator.randrange(1, 2_000)),
        "hole": data[:at] + data[to:],
        "swap": data[to:] + data[:to],
        "zeros": data[:at] + bytes(to - at) + data[to:],
    }[kind]


def outcome(read: Callable[[], object], whole: object) -> str:
    """Return whether reading gave what is whole, or was refused in one line of ours."""
    try:
        found = read()
    except (ValueError, OSError) as error:
        line = str(error)
    else:
        assert found == whole, "other rows"
        return "same"
    assert line.startswith("expected ") and line.isprintable(), line
    return "refused"


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@shares(fast=15, whole=200)
def test_a_damaged_archive_gives_its_rows_or_one_line(tmp_path: Path, kind: str, first: int, last: int) -> None:
    path = pack(tmp_path / f"a.{kind}", FILES, kind)
    data, whole = path.read_bytes(), dict(read_members(path))
    assert whole == FILES

    def run(generator: random.Random) -> str:
        path.write_bytes(changed := damage(data, generator))
        found = outcome(lambda: dict(read_members(path)), whole)
        return "not changed" if changed == data else found

    assert count_outcomes(first, last, run)["refused"] > 0.4 * (last - first)


@shares(fast=10, whole=100)
def test_a_damaged_archive_of_a_task_gives_its_rows_or_one_line(tmp_path: Path, first: int, last: int) -> None:
    path = pack(tmp_path / "aclImdb.tar.xz", FILES, "tar.xz")
    pack(tmp_path / "rt-polaritydata.tar.gz", {"rt-polarity.neg": b"bad\n", "rt-polarity.pos": b"good\n"}, "tar.gz")
    data, whole = path.read_bytes(), RAW["imdb"](tmp_path)
    assert [len(rows) for rows in whole.values()] == [8, 8, 2]

    def run(generator: random.Random) -> str:
        path.write_bytes(damage(data, generator))
        return outcome(lambda: RAW["imdb"](tmp_path), whole)

    count_outcomes(first, last, run)


def hostile_members(kind: str, generator: random.Random) -> tuple[str, list[tuple[str, bytes, dict[str, object]]]]:
    """Return members of which a tar must be refused, and what is wrong with them."""
    target = {"linkname": generator.choice(["/etc/passwd", "../../x", next(iter(FILES))])}
    members: dict[str, list[tuple[str, bytes, dict[str, object]]]] = {
        "link": [("aclImdb/x", b"", {"type": tarfile.SYMTYPE, **target})],
        "hard link": [("aclImdb/x", b"", {"type": tarfile.LNKTYPE, **target})],
        "device": [("aclImdb/x", b"", {"type": generator.choice([tarfile.CHRTYPE, tarfile.FIFOTYPE, b"Z"])})],
        "name": [(generator.choice(NAMES[:8]), b"x", {})],
        "bomb": [("x", bytes(2**20 + 1), {})],
        "bomb of files": [(f"{number}", bytes(100_000), {}) for number in range(60)],
        "many": [(f"{number}", b"", {"type": tarfile.DIRTYPE}) for number in range(_archive.MAX_MEMBERS)],
        "long header": [("x" * (_archive.MAX_HEADER_BYTES + 1), b"x", {})],
        "headers": [("x", b"x", {"pax_headers": {"comment": "x" * _archive.MAX_HEADER_BYTES}})],
    }
    if kind == "tar":  # whose size is that of its files
        del members["bomb of files"]
    wrong = generator.choice(list(members))
    return wrong, members[wrong]


def hostile_tar(path: Path, kind: str, generator: random.Random) -> str:
    """Write a tar that must be refused, and return what is wrong with it."""
    wrong, members = hostile_members(kind, generator)
    form = tarfile.PAX_FORMAT if wrong == "headers" else tarfile.GNU_FORMAT
    with tarfile.open(path, FORMATS[kind], format=form, errors="surrogateescape") as archive:
        for name, data in generator.sample(list(FILES.items()), 3):
            add(archive, name, data)
        for name, data, fields in members:
            add(archive, name, data, **fields)
    signed(path, kind)
    return wrong


def hostile_zip(path: Path, generator: random.Random) -> str:
    """Write a zip that must be refused, and return what is wrong with it."""
    wrong = generator.choice(["link", "name", "bomb", "encrypted", "method", "short"])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in generator.sample(list(FILES.items()), 3):
            archive.writestr(name, data)
        bad = [name for name in NAMES[:6] if name != "a\\x"]
        one = zipfile.ZipInfo(generator.choice(bad) if wrong == "name" else "x")
        one.compress_type = zipfile.ZIP_DEFLATED
        if wrong == "link":
            one.external_attr = 0o120777 << 16
        archive.writestr(one, bytes(2**20 + 1) if wrong == "bomb" else b"/etc/passwd")
        if wrong == "encrypted":
            one.flag_bits |= 1
        elif wrong == "method":
            one.compress_type = generator.choice([1, 6, 9, 93, 98, 99])
        elif wrong == "short":
            one.file_size -= generator.randrange(1, 5)
    return wrong


@shares(fast=15, whole=200)
def test_a_hostile_archive_is_refused(
    tmp_path: Path, kind: str, first: int, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"MAX_MEMBER_BYTES": 2**20, "FREE_BYTES": 2**19, "MAX_MEMBERS": 200, "MAX_HEADER_BYTES": 2**12}
    for name, value in limits.items():
        monkeypatch.setattr(_archive, name, value)

    def run(generator: random.Random) -> str:
        path = tmp_path / f"a.{kind}"
        wrong = hostile_zip(path, generator) if kind == "zip" else hostile_tar(path, kind, generator)
        assert outcome(lambda: dict(read_members(path)), None) == "refused", wrong
        return wrong

    count_outcomes(first, last, run)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_read_as_written_or_refused(tmp_path: Path, kind: str, name: str) -> None:
    if kind == "zip" and name == "\udcff":
        pytest.skip("no name of a zip")
    path = pack(tmp_path / f"a.{kind}", {**FILES, name: b"1"}, kind)
    found = outcome(lambda: dict(read_members(path)), {**FILES, name: b"1"})
    assert found == ("same" if name in ("x" * 300, "é.txt") else "refused")


def test_a_zip_that_does_not_mark_its_names_as_utf_8_is_read_by_its_names(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"é.txt": b"1"}, "zip")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\x00\x08\x08\x00", b"\x00\x00\x08\x00"))
    assert path.read_bytes() != data and dict(read_members(path)) == {"é.txt": b"1"}


def test_a_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    (raw / "aclImdb" / "train" / "pos").mkdir(parents=True)
    (tmp_path / "secret").write_text("of another")
    (raw / "aclImdb" / "train" / "pos" / "1_7.txt").symlink_to(tmp_path / "secret")
    assert outcome(lambda: dict(read_members(raw / "aclImdb")), None) == "refused"
    (raw / "rt-polaritydata").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="got a link or device: 'rt-polaritydata'; copy what it points to"):
        _archive.find_source(raw, ("rt-polaritydata",))


def test_a_plain_tar_needs_a_checksum(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", FILES, "tar")
    (tmp_path / SUMS).unlink()
    with pytest.raises(
        ValueError, match=r"got a plain tar without: .*a\.tar; compress it with xz, or .*>> SHA256SUMS"
    ):
        dict(read_members(path))
    path.rename(tmp_path / "ucf101_layout_fir.tar")
    with pytest.raises(ValueError, match=r"with SHA-256 29efc0be9c514c7e\.\.\., got "):
        dict(read_members(tmp_path / "ucf101_layout_fir.tar"))
