"""The forget lists published with MU-Bench: one frozen row per task, with its known faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

REPOSITORY = "CLU-UML/MU-Bench"
FOLDER = "mubench/df"
FIRST_COMMIT = "274bf088dcb51cee61fd3869ed40717859a52b9c"

_NO_CHECKSUM = "no checksum of the rows in their original order is known"
_NO_ORDER = f"{_NO_CHECKSUM}, and images sorted into class folders have lost it"
_NEVER_LEARNED = (
    "the published base models were trained on 42,500 of the 50,000 rows, so about 15 % of the forget set was never "
    "learned"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperList:
    """The published forget sets of one task.

    Attributes:
        files: SHA-256 of every list file by name: one of row indices, or ten masks by ascending ratio.
        commit: A commit of ``REPOSITORY`` with the files.
        rows: Number of training rows that the list refers to.
        last: Without files: how many rows each ratio deletes from the end of the original order.
        order: SHA-256 of the example ids in the original order, one per line; ``None`` if that order is unknown, and
            then nothing is built.
        unproven: Why the order is unknown.
        fault: Known fault of the sets, for cards.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    commit: str = FIRST_COMMIT
    rows: int
    last: Mapping[int, int] = field(default_factory=dict)
    order: str | None = None
    unproven: str = ""
    fault: str


# fmt: off
PAPER_LISTS: dict[str, PaperList] = {
    "cifar10": PaperList(
        files={"cifar10.txt": "b5144f05f227ef20341aefe356adb1860e4918d3525b91f03a7639e61d70fdbe"},
        commit="95a21a1bf2b243c75a17f3f73d15f783bcb9c67f", rows=50_000,
        unproven=_NO_ORDER, fault=_NEVER_LEARNED),
    "cifar100": PaperList(
        files={"cifar100.txt": "5178622c4b92f2d599c6787c6aff3dac3a8c90fd0bf2b83add9d97b6d56547ce"}, rows=50_000,
        unproven=_NO_ORDER, fault=_NEVER_LEARNED),
    "imdb": PaperList(
        files={"imdb.txt": "f40dab2edd89eda908a81acf08f79d591d658e458e9a1461236d9ecbfa9711d9"}, rows=25_000,
        unproven=f"{_NO_CHECKSUM}, and the original archive has none: it is a folder of files",
        fault="the list is balanced over the labels and, within each 1 %, sorted by label"),
    "ddi2013": PaperList(
        files={"ddi.txt": "de4a2e5f60c257e8a69aedf807d4c7a9b3591763a7bd05e0bb3888cf7fb744c0"}, rows=25_296,
        unproven="it is about 25,296 rows of another preparation of the corpus, whose order does not follow from the "
                 "corpus",
        fault="from 4 % on every row of the class int is deleted and none is left to retain; at 10 % about 70 % of "
              "the class advise are"),
    "nlvr2": PaperList(
        files={"nlvr2.txt": "d5407fa3b7bd2bcffd1a8c85860d811e226f9db8c9a8ebcc4fef99b905250b68"}, rows=86_373,
        unproven=_NO_CHECKSUM,
        fault="the list is balanced over the labels, not drawn from all rows alike"),
    "speech_commands": PaperList(
        files={"speech_commands.txt": "bfb7ca7cd891c0740c3380a2e821a76356e2a88a90adcaddd9a3391dd5e000fe"},
        commit="0afc0c8fe3fb639cda68addf6400beac54ce6614", rows=51_094,
        unproven=f"{_NO_CHECKSUM}: it is that of a prepared copy, not of the archive",
        fault="at 1 % all six rows of the class _silence_ are deleted already and none is left to retain"),
    "ucf101": PaperList(
        files={
            "ucf101/1.txt": "9982304341edf34035c4481705af50f5f980a11ab4a1c151df233c16152cae3b",
            "ucf101/2.0.txt": "7858a688c6afd8e8481423c8002f7b35d2f3278e65b4663891fe31b584838e07",
            "ucf101/3.txt": "a5f812863bfef379d7a3b97f141d9d5fa663a5787007399acb7fb5be429b9050",
            "ucf101/4.0.txt": "16c85e30ef12f4756aab15ead9e26b067861382b38238475cae456c680ca1f32",
            "ucf101/5.txt": "7a9aa18973709999743b9218727f01e8bbd9b88feb5add0916074e02ec03d33e",
            "ucf101/6.0.txt": "9e4cc0544ec60683c477ffb6306eccb957a53a77b3548d29bbf18331d5eee72c",
            "ucf101/7.txt": "ea9a2eba0abdff2397a05ba47eeaf616bb11cbb76ff93671aeaba8e800cece1a",
            "ucf101/8.0.txt": "d36b03f5bd7c33391cff2c32cf2763d42891509fc3d4a9235ea060fcf0b284f6",
            "ucf101/9.txt": "43b666ae7c980682ed864debb11637a3dce2242788cb440f8bff3cf288dd569c",
            "ucf101/10.0.txt": "8faf4086fc9460b8c9bde39eae661516fc17814eb1f3eedb3072ae5eb2cb2a28",
        }, rows=9_537,
        unproven=f"{_NO_CHECKSUM}, which is that of trainlist01",
        fault="each step deletes one clip a class, 101 clips, so k % are in truth 1.059 k %"),
    "samsum": PaperList(
        files={"samsum.txt": "38c8d7e0db2129b70c9e87ff57e4237881c5622794839f4619b47c4e0f30bcfc"}, rows=14_731,
        unproven="it was drawn after row 6,054 of 14,732 had been dropped and then used on all of them, so what "
                 "its indices from there on mean is unknown",
        fault="the list is sorted, so k % are the earliest dialogues and no sample"),
    "celeb_profile": PaperList(
        files={"bioceleb.txt": "dd52beec24e6bf62a82449d55826e7657a07ea5188c83ea0f75ebd76cfa292e0"}, rows=183,
        unproven="the 183 profiles it is about were never published",
        fault="its largest index is 120, so the last third of the 183 profiles is never deleted"),
    "tiny_imagenet": PaperList(
        rows=100_000, unproven="none was ever published",
        fault="none was ever published"),
    "tofu": PaperList(
        rows=4_000, last={1: 40, 5: 200, 10: 400},
        order="f68c304b53962a71a73856c8d5fa1cb83e1134316f350a780eb897aae883155a",
        fault="all 4,000 rows are training rows, so there is no test split; the sets are forget01, forget05 and "
              "forget10, the last rows of the file, and no others"),
}
# fmt: on
