"""Forget lists: verification by SHA-256, strict parsers, and the download."""

import dataclasses
import hashlib
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mubench.hub_builders.deletion import forget_lists as lists
from mubench.hub_builders.deletion.forget_lists import (
    ForgetList,
    _download_list,
    _merge_masks,
    _parse_indices,
    _parse_mask,
    read_example_ids,
    read_published,
)
from mubench.hub_builders.deletion.published_lists import PAPER_LISTS, PaperList
from mubench.hub_builders.tasks import TASKS

DATA = Path(os.environ.get("MUBENCH_DATA", Path(__file__).resolve().parents[3] / "../shared/data"))
SPLITS = DATA / "paper_splits"
real = pytest.mark.skipif(not SPLITS.is_dir(), reason=f"needs the published lists in {SPLITS} (set MUBENCH_DATA)")
FEW = settings(max_examples=100, deadline=None)
MANY = settings(max_examples=3_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Valid lines, and lines that are almost valid.
_ODD = st.sampled_from([
    "-1", "1.0", "0x1", "1e1", "", " 1", "1 ", "+1", "٣", "²", "\ufeff1", "NaN", "1_0",
    "9" * 30, "\x00", "2", "01", "00",
])  # fmt: skip
_LINE = st.one_of(st.integers(0, 12).map(str), st.sampled_from("01"), _ODD, st.text(max_size=4))
_END = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Draw the bytes of a valid or almost valid list."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=30))
    lines = draw(st.lists(_LINE, max_size=14))
    if draw(st.booleans()):
        lines = [line for line in lines if line in map(str, range(13))]
    end = draw(_END) if draw(st.integers(0, 3)) == 0 else "\n"
    text = end.join(lines) + draw(st.sampled_from(["", end]))
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16"])), "surrogatepass")


def result(read: Callable[[], object]) -> object:
    """Return the result of a parser, or ``None`` after a `ValueError` of one line."""
    try:
        return read()
    except ValueError as raised:
        error = raised
    assert not isinstance(error, UnicodeError) and len(str(error).splitlines()) == 1
    assert "expected" in str(error) and "got" in str(error) and len(str(error)) < 300
    return None


def expected_lines(data: bytes) -> list[str] | None:
    """Return the lines of an ASCII file; a simple reference implementation."""
    if not data or not data.isascii():
        return None
    body = data[:-1] if data.endswith(b"\n") else data
    return [line.decode() for line in body.split(b"\n")]


def check_indices(data: bytes) -> None:
    lines = expected_lines(data)
    good = lines is not None and all(line and set(line) <= set("0123456789") and len(line) < 10 for line in lines)
    numbers = [int(line) for line in lines or ()] if good else []
    good = good and all(number < 11 for number in numbers) and len(set(numbers)) == len(numbers)
    assert result(lambda: _parse_indices(data, 11, "list.txt")) == (numbers if good else None)


def check_mask(data: bytes) -> None:
    lines = expected_lines(data)
    good = lines is not None and len(lines) == 5 and set(lines) <= {"0", "1"}
    rows = [i for i, line in enumerate(lines or ()) if line == "1"]
    assert result(lambda: _parse_mask(data, 5, "mask.txt")) == (rows if good else None)


def check_ids(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = ""
    names = [line.strip() for line in text.removesuffix("\n").split("\n")]
    good = bool(text) and all(names) and len(set(names)) == len(names)
    found = result(lambda: read_example_ids(path))
    assert found == ({name: line for line, name in enumerate(names, 1)} if good else None)


@FEW
@given(files())
def test_indices_are_parsed_or_refused(data):
    check_indices(data)


@FEW
@given(files())
def test_a_mask_is_parsed_or_refused(data):
    check_mask(data)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("ids") / "ids.txt"


@FEW
@given(data=files())
def test_example_ids_are_parsed_or_refused(path, data):
    check_ids(path, data)


@pytest.mark.nightly
@MANY
@given(files())
def test_many_lists_of_indices(data):
    check_indices(data)


@pytest.mark.nightly
@MANY
@given(
    st.one_of(files(), st.lists(st.sampled_from("012"), min_size=4, max_size=6).map(lambda x: "\n".join(x).encode()))
)
def test_many_masks(data):
    check_mask(data)


@pytest.mark.nightly
@MANY
@given(data=files())
def test_many_lists_of_example_ids(path, data):
    check_ids(path, data)


@pytest.mark.nightly
@MANY
@given(st.lists(st.sets(st.integers(0, 9)), min_size=1, max_size=10))
def test_many_masks_are_merged_or_refused(masks):
    check_masks([sorted(one) for one in masks])


def check_masks(masks: list[list[int]]) -> None:
    found = result(lambda: _merge_masks(masks))
    good = all(set(a) <= set(b) for a, b in pairwise(masks))
    assert (found is not None) == good
    if isinstance(found, ForgetList):
        assert found.forget == {ratio: len(one) for ratio, one in enumerate(masks, 1)}
        assert all(sorted(found.rows[: len(one)]) == one for one in masks)


@FEW
@given(st.lists(st.sets(st.integers(0, 9)), min_size=1, max_size=4), st.booleans())
def test_masks_are_merged_or_refused(masks, grow):
    if grow:
        masks = [set().union(*masks[: i + 1]) for i in range(len(masks))]
    check_masks([sorted(one) for one in masks])


@pytest.mark.parametrize(("data", "message"), [
    (b"1\n1\n", r"expected every row once, got 1 in lines 1 and 2: l\.txt"),
    (b"1\n01\n", r"expected every row once, got 01 in lines 1 and 2"),
    (b"1\n-2\n", r"expected a row number from 0 to 9, got '-2': l\.txt line 2"),
    (b"10\n", "expected a row number from 0 to 9, got '10'"),
    (b"1.0\n", "got '1.0'"), (b"0x1\n", "got '0x1'"), (b"1e3\n", "got '1e3'"), (b"1\r\n", r"got '1\\r'"),
    (b"\xef\xbb\xbf1\n", "expected ASCII text, got other bytes"), (b"", "at least one line, got an empty file"),
    (b"1\n\n2\n", "got '': l.txt line 2"), (b"9" * 5_000, "got '9{40}...': l.txt line 1"),
])  # fmt: skip
def test_a_malformed_index_is_named_by_line(data, message):
    with pytest.raises(ValueError, match=message):
        _parse_indices(data, 10, "l.txt")


def test_a_malformed_mask_is_refused():
    with pytest.raises(ValueError, match=r"expected 3 lines, got 2: m\.txt"):
        _parse_mask(b"0\n1\n", 3, "m.txt")
    with pytest.raises(ValueError, match=r"expected 0 or 1, got '2': m\.txt line 2"):
        _parse_mask(b"0\n2\n", 2, "m.txt")


@pytest.mark.parametrize(("data", "message"), [
    (b"", "at least one line, got an empty file"), (b"a\n\nb\n", r"got a blank one: .*ids\.txt line 2"),
    (b"a\nb\na\n", r"expected every id once, got 'a' in lines 1 and 3: .*ids\.txt"),
    (b"a\n \n", "got a blank one: .* line 2"), (b"\xff\xfea", "expected UTF-8 text, got other bytes"),
])  # fmt: skip
def test_a_malformed_example_id_is_named_by_line(tmp_path, data, message):
    (tmp_path / "ids.txt").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_example_ids(tmp_path / "ids.txt")


@pytest.mark.parametrize("name", ["nothing.txt", "."])
def test_a_missing_list_of_example_ids_is_an_error(tmp_path, name):
    with pytest.raises(FileNotFoundError, match="expected a file of example ids, one per line, got none"):
        read_example_ids(tmp_path / name)


def test_line_ends_and_byte_order_marks_do_not_matter(tmp_path):
    for text in (b"a\nb\n", b"a\r\nb\r\n", b"\xef\xbb\xbfa\nb", b"a \n\tb\n"):
        (tmp_path / "ids.txt").write_bytes(text)
        assert read_example_ids(tmp_path / "ids.txt") == {"a": 1, "b": 2}


# The published lists

SIZES = {
    "cifar10": [500 * k for k in range(1, 11)], "cifar100": [500 * k for k in range(1, 11)],
    "imdb": [250 * k for k in range(1, 11)], "ddi2013": [250 * k for k in range(1, 11)],
    "nlvr2": [862 * k for k in range(1, 11)], "speech_commands": [504 * k for k in range(1, 11)],
    "samsum": [147, 294, 441, 589, 736, 883, 1031, 1178, 1325, 1473],
    "celeb_profile": [1, 3, 5, 6, 8, 10, 11, 13, 15, 17], "ucf101": [101 * k for k in range(1, 11)],
}  # fmt: skip


@real
@pytest.mark.parametrize("task", SIZES)
def test_the_published_lists_have_their_published_sizes(task):
    listed = read_published(PAPER_LISTS[task], SPLITS)
    assert list(listed.forget.values()) == SIZES[task] and list(listed.forget) == list(range(1, 11))
    assert len(listed.rows) == listed.forget[10] == len(set(listed.rows))
    assert [int(k / 10 * len(listed.rows)) for k in range(1, 11)] == SIZES[task]
    assert max(listed.rows) < PAPER_LISTS[task].rows


@real
def test_the_stated_faults_are_those_of_the_lists():
    assert (samsum := read_published(PAPER_LISTS["samsum"], SPLITS).rows) == sorted(samsum)
    assert max(read_published(PAPER_LISTS["celeb_profile"], SPLITS).rows) == 120
    share = read_published(PAPER_LISTS["ucf101"], SPLITS).forget[1] / PAPER_LISTS["ucf101"].rows
    assert f"{100 * share:.3f}" == "1.059"


@real
@pytest.mark.parametrize("style", ["whole", "decimal"])
def test_masks_are_found_under_both_styles_of_names(tmp_path, style):
    (tmp_path / "ucf101").mkdir()
    for name in PAPER_LISTS["ucf101"].files:
        ratio = name.removeprefix("ucf101/").removesuffix(".txt").removesuffix(".0")
        (tmp_path / "ucf101" / f"{ratio}{'' if style == 'whole' else '.0'}.txt").symlink_to(SPLITS.resolve() / name)
    assert read_published(PAPER_LISTS["ucf101"], tmp_path) == read_published(PAPER_LISTS["ucf101"], SPLITS)


@pytest.mark.skipif(
    not (DATA / "raw").is_dir(), reason=f"needs the original files in {DATA / 'raw'} (set MUBENCH_DATA)"
)
def test_the_last_rows_of_tofu_are_its_forget_files():
    with tarfile.open(DATA / "raw" / "tofu.tar.xz") as archive:
        files = {Path(member.name).stem: archive.extractfile(member).read().splitlines() for member in archive}
    listed = read_published(PAPER_LISTS["tofu"], None)
    assert len(files["full"]) == PAPER_LISTS["tofu"].rows
    for ratio, size in listed.forget.items():
        assert [files["full"][row] for row in sorted(listed.rows[:size])] == files[f"forget{ratio:02d}"]


def test_tofu_needs_no_file_and_has_three_ratios():
    listed = read_published(PAPER_LISTS["tofu"], None)
    assert listed.forget == {1: 40, 5: 200, 10: 400}
    for ratio, rows in listed.forget.items():
        assert set(listed.rows[:rows]) == set(range(4_000 - rows, 4_000)), ratio


def test_a_list_is_about_all_training_rows_of_the_data_set_but_for_three():
    rows = {key: (PAPER_LISTS[key].rows, TASKS[key].counts.get("full", {}).get("train")) for key in PAPER_LISTS}
    other = {key: one for key, one in rows.items() if one[1] not in (None, one[0])}
    assert other == {"ddi2013": (25_296, 27_791), "samsum": (14_731, 14_732), "tofu": (4_000, 3_400)}


@pytest.mark.parametrize("task", PAPER_LISTS)
def test_every_list_states_its_fault_and_its_order_or_why_it_is_unknown(task):
    one = PAPER_LISTS[task]
    assert one.fault and (one.order is None) <= bool(one.unproven) and "\n" not in one.fault + one.unproven
    assert len(one.commit) == 40 and all(len(bytes.fromhex(sum_)) == 32 for sum_ in one.files.values())
    assert len(one.files) in (0, 1, 10)


def paper_list(data: bytes, rows: int = 20, name: str = "imdb.txt") -> PaperList:
    return PaperList(files={name: hashlib.sha256(data).hexdigest()}, rows=rows, fault="none")


def test_a_list_with_another_hash_is_refused(tmp_path):
    data = b"".join(b"%d\n" % i for i in (3, 1, 4, 15, 9, 2, 6, 5, 8, 7))
    paper = paper_list(data)
    (tmp_path / "imdb.txt").write_bytes(data)
    assert read_published(paper, tmp_path) == ForgetList([3, 1, 4, 15, 9, 2, 6, 5, 8, 7], {k: k for k in range(1, 11)})
    for other in (data[:-1], data + b"10\n", data.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + data, b""):
        (tmp_path / "imdb.txt").write_bytes(other)
        with pytest.raises(ValueError, match=r"expected imdb\.txt with SHA-256 [0-9a-f]{64}, got [0-9a-f]{64}$"):
            read_published(paper, tmp_path)


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected imdb\.txt in .*, got none"):
        read_published(paper_list(b"1\n"), tmp_path)
    (tmp_path / "imdb.txt").mkdir()
    with pytest.raises(FileNotFoundError, match=r"expected imdb\.txt in .*, got none"):
        read_published(paper_list(b"1\n"), tmp_path)


# The download, from a server of this machine


@contextmanager
def serve(reply: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[tuple[str, list[str]]]:
    """Run a server with one reply; yield its URL and the requested paths."""
    requested: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            reply(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requested
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(data: bytes, *, status: int = 200, length: int | None = None) -> Callable[[BaseHTTPRequestHandler], None]:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data) if length is None else length))
        handler.end_headers()
        handler.wfile.write(data)

    return reply


def test_a_list_is_downloaded_from_the_pinned_commit(monkeypatch):
    data = b"3\n1\n"
    paper = dataclasses.replace(paper_list(data), commit="c" * 40)
    with serve(send(data)) as (url, requested):
        monkeypatch.setattr(lists, "SERVER", url)
        assert read_published(paper, None).rows == [3, 1]
    assert requested == [f"/CLU-UML/MU-Bench/{'c' * 40}/mubench/df/imdb.txt"]


@pytest.mark.parametrize("sent", [send(b"1\n3\n"), send(b"3\n", length=4), send(b"3\n1\n" + bytes(2**20))])
def test_a_download_with_another_hash_is_refused(monkeypatch, sent):
    with serve(sent) as (url, _):
        monkeypatch.setattr(lists, "SERVER", url)
        with pytest.raises((ValueError, FileNotFoundError), match=r"expected imdb\.txt .*got ") as error:
            read_published(paper_list(b"3\n1\n"), None)
    assert "\n" not in str(error.value)


def drop(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


@pytest.mark.parametrize("reply", [send(b"", status=404), send(b"", status=500), drop])
def test_a_failed_download_names_the_option_to_use_instead(reply, monkeypatch):
    with serve(reply) as (url, _):
        monkeypatch.setattr(lists, "SERVER", url)
        with pytest.raises(FileNotFoundError, match=r"--paper_splits DIR$") as error:
            _download_list("imdb.txt", "c" * 40)
    assert "\n" not in str(error.value) and "expected imdb.txt from http://127.0.0.1" in str(error.value)


def test_an_unreachable_server_names_the_option_to_use_instead(monkeypatch):
    with serve(drop) as (url, _):
        monkeypatch.setattr(lists, "SERVER", url)
    with pytest.raises(FileNotFoundError, match=r"got no complete response .*give the folder of the lists"):
        _download_list("imdb.txt", "c" * 40)
