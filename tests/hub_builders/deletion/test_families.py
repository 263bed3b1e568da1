"""Builds of the families group, paper and custom on small tasks: deleted rows, refused options, messages."""

import dataclasses
import hashlib
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from datasets import load_dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mubench.hub_builders.__main__ import main
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task, task_info
from mubench.hub_builders.dataset.manifest import read_manifest
from mubench.hub_builders.dataset.readme import percentages
from mubench.hub_builders.dataset.shards import split_fingerprint
from mubench.hub_builders.deletion import families
from mubench.hub_builders.deletion.families import FAMILY_TEXTS, DeletionRequest, check_deletion, known_tasks
from mubench.hub_builders.deletion.published_lists import PAPER_LISTS, PaperList
from mubench.hub_builders.deletion.ranks import deletion_ranks
from mubench.hub_builders.mini import MINI
from mubench.hub_builders.raw import HUB
from mubench.hub_builders.tasks import TASKS, names
from tests.fixtures.data import COUNTS, small_rows

AUTHORS = 15
OF_LISTS = ", ".join(names.LISTED)


@pytest.fixture
def grouped(small, monkeypatch):
    """Turn mini imdb into a task whose 60 training rows have 15 authors of 4 rows each."""
    monkeypatch.setitem(TASKS, "imdb", dataclasses.replace(TASKS["imdb"], group="author"))

    def rows():
        splits = small_rows("old")
        for split, part in splits.items():
            for i, row in enumerate(part):
                row["group"] = f"author {i % AUTHORS if split == 'train' else f'of {split}'}"
        return splits

    monkeypatch.setitem(MINI, "imdb", rows)


@pytest.fixture
def ids(tmp_path):
    """Return a function that writes a list of ids and returns its path."""

    def write(*names: str, text: str | None = None) -> Path:
        path = tmp_path / "ids.txt"
        path.write_text("".join(f"{name}\n" for name in names) if text is None else text)
        return path

    return write


def config_files(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Return the files of every config by split."""
    head = yaml.load((folder / "README.md").read_text().split("---\n")[1], Loader=yaml.CSafeLoader)
    return {
        config["config_name"]: {split["split"]: split["path"] for split in config["data_files"]}
        for config in head["configs"]
    }


def test_every_family_has_a_repository_and_a_description():
    assert FAMILY_TEXTS.keys() == names.FAMILIES.keys()
    for family, one in FAMILY_TEXTS.items():
        assert family in one.summary.lower() and one.rule.format(seed=7)
    assert "7:<task>" in FAMILY_TEXTS["canonical"].rule.format(seed=7)


# group


def test_a_group_build_deletes_whole_groups_and_writes_no_empty_shard(grouped, tmp_path):
    folder = build("imdb", out=tmp_path, family="group")
    assert folder.name == "mu-bench-group"
    info = task_info("imdb", data=folder, family="group")
    assert info.family == "group" and info.forget == {
        **dict.fromkeys(range(1, 7), 4),
        **dict.fromkeys(range(7, 11), 8),
    }
    hashed = sorted(
        {f"author {i}" for i in range(AUTHORS)}, key=lambda g: hashlib.sha256(f"0:imdb:{g}".encode()).digest()
    )
    for ratio, size in ((6, 4), (7, 8)):
        rows = load_task("imdb", ratio, data=folder, family="group")
        published = load_dataset(str(folder), f"imdb_del{ratio}")
        for split in ("forget", "retain"):
            assert sorted(rows[split]["example_id"]) == sorted(published[split]["example_id"])
        assert set(rows["forget"]["group"]) == set(hashed[: size // 4])
        assert not set(rows["forget"]["group"]) & set(rows["retain"]["group"])
    files = {path for splits in config_files(folder).values() for paths in splits.values() for path in paths}
    assert all(pq.read_metadata(folder / path).num_rows for path in files)
    assert sorted(path.name[:9] for path in folder.rglob("train-d*")) == ["train-d01", "train-d07"]


def test_percentages_show_how_far_a_group_build_overshoots(grouped, tmp_path):
    folder = build("imdb", out=tmp_path, family="group")
    manifest = read_manifest(next(folder.rglob("manifest.json")))
    assert {ratio: round(real, 2) for ratio, real in percentages(manifest).items()} == {
        **dict.fromkeys(range(1, 7), 6.67), **dict.fromkeys(range(7, 11), 13.33),
    }  # fmt: skip


def test_another_deletion_seed_deletes_other_groups(grouped, tmp_path):
    folders = [build("imdb", out=tmp_path, family="group", deletion_seed=seed) for seed in (0, 1, 2)]
    assert [folder.name for folder in folders] == ["mu-bench-group", "mu-bench-group-d1", "mu-bench-group-d2"]
    sets = [frozenset(load_task("imdb", 10, data=one, family="group")["forget"]["group"]) for one in folders]
    assert len(set(sets)) == 3
    assert len({task_info("imdb", data=one, family="group").split for one in folders}) == 3


def test_families_are_built_side_by_side_and_found_by_name(grouped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for family in ("canonical", "group"):
        build("imdb", family=family)
    infos = [task_info("imdb", family=family) for family in ("canonical", "group")]
    assert infos[0].forget[5] == 3 and infos[1].forget[5] == 4 and infos[0].split != infos[1].split
    Path("mu-bench").rename("mu-bench-x")
    with pytest.raises(ValueError, match="expected the deletion family group in mu-bench-x, got canonical"):
        task_info("imdb", data="mu-bench-x", family="group")


def test_a_row_without_a_group_is_refused_before_anything_is_written(grouped, tmp_path, monkeypatch):
    rows = MINI["imdb"]()
    rows["train"][7]["group"] = ""
    monkeypatch.setitem(MINI, "imdb", lambda: rows)
    with pytest.raises(ValueError, match="expected a group in every training row of imdb, got none in train-7"):
        build("imdb", out=tmp_path, family="group")
    assert not list(tmp_path.iterdir())


# custom


def test_a_custom_list_is_one_ratio(small, tmp_path, ids, capsys):
    listed = [f"train-{i}" for i in (50, 3, 17, 8, 21)]
    assert main(["build", "imdb", "--family", "custom", f"--forget-ids={ids(*listed)}", f"--out={tmp_path}"]) == 0
    assert capsys.readouterr().out.endswith("60 train, 20 validation, 30 test, 10 ood; forgets 5 rows at 8 %\n")
    folder = tmp_path / "mu-bench-custom"
    info = task_info("imdb", data=folder, family="custom")
    assert info.forget == {8: 5} and set(config_files(folder)) == {"imdb", "imdb_del8"}
    rows = load_task("imdb", 8, data=folder, family="custom")
    assert set(rows["forget"]["example_id"]) == set(listed) and len(rows["retain"]) == 55
    assert set(load_dataset(str(folder), "imdb_del8")["forget"]["example_id"]) == set(listed)
    train = load_task("imdb", data=folder, family="custom")["train"]
    ranks = deletion_ranks(train["example_id"][:], train["label"][:], task="imdb")
    canonical = [name for _, name in sorted(zip(ranks.tolist(), train["example_id"], strict=True))]
    assert train["example_id"][:] == [i for i in canonical if i in listed] + [i for i in canonical if i not in listed]


@pytest.mark.parametrize("ratio", [1, 7, 9, 10])
def test_an_unknown_ratio_lists_the_known_ones(small, tmp_path, ids, ratio):
    folder = build("imdb", out=tmp_path, family="custom", forget_ids=ids(*(f"train-{i}" for i in range(5))))
    with pytest.raises(ValueError, match=rf"ratio of imdb \(custom family\) must be one of 8, got {ratio}"):
        load_task("imdb", ratio, data=folder, family="custom")
    with pytest.raises(ValueError, match="must be one of 8, got"):
        task_info("imdb", data=folder, family="custom").forget_size(ratio)


@pytest.mark.parametrize(("listed", "ratio"), [(1, 2), (2, 3), (3, 5), (30, 50), (59, 98)])
def test_the_ratio_is_the_nearest_whole_percentage(small, tmp_path, ids, listed, ratio):
    folder = build("imdb", out=tmp_path, family="custom", forget_ids=ids(*(f"train-{i}" for i in range(listed))))
    assert task_info("imdb", data=folder, family="custom").forget == {ratio: listed}


@pytest.mark.parametrize(
    ("listed", "rows", "percent"), [(1, 1_000, 1), (999, 1_000, 99), (25, 1_000, 3), (24, 1_000, 2)]
)
def test_the_ratio_is_at_least_1_and_at_most_99(listed, rows, percent):
    splits = {"train": [{"example_id": f"row-{i}", "label": i % 2} for i in range(rows)]}
    lines = {f"row-{i}": i + 1 for i in range(listed)}
    assert families._custom_deletion(TASKS["imdb"], lines, Path("ids.txt"), splits).forget == {percent: listed}


def test_the_order_of_a_list_does_not_matter(small, tmp_path, ids):
    listed = [f"train-{i}" for i in range(9)]
    infos = []
    for order in (listed, listed[::-1]):
        folder = build("imdb", out=tmp_path, family="custom", forget_ids=ids(*order))
        infos.append(task_info("imdb", data=folder, family="custom"))
    assert infos[0] == infos[1]


def test_lists_with_equal_ranks_differ_in_fingerprint(small, tmp_path, ids, caplog):
    """Lists of the first canonical rows have canonical ranks, so that only their sizes differ."""
    order = [row["example_id"] for row in load_task("imdb", data=build("imdb", out=tmp_path))["train"]]
    infos, folders = [], []
    for size in (14, 15, 16):
        folder = build("imdb", out=tmp_path, family="custom", forget_ids=ids(*order[:size]))
        infos.append(task_info("imdb", data=folder, family="custom"))
        folders.append(next((folder / "data" / "imdb").iterdir()).name)
    assert len({info.split for info in infos}) == len({info.files for info in infos}) == len(set(folders)) == 3
    first, second, third = (info.split[:8] for info in infos)
    assert caplog.messages == [
        f"{folder}: imdb with its list (split {new}) replaced another list (split {old})"
        for old, new in ((first, second), (second, third))
    ]


@pytest.mark.usefixtures("small")
def test_forget_sizes_are_part_of_the_fingerprint():
    splits = {
        split: [{**row, "deletion_rank": i} for i, row in enumerate(part)] for split, part in small_rows("a").items()
    }
    usual = {ratio: (60 * ratio + 50) // 100 for ratio in range(1, 11)}
    sizes = [usual, {1: 1}, {1: 2}, {2: 1}, {1: 1, 5: 2}, {**usual, 10: 7}]
    assert len({split_fingerprint(TASKS["imdb"], "mini", splits, one) for one in sizes}) == len(sizes)


def test_a_rebuild_with_the_same_list_changes_nothing_and_is_silent(small, tmp_path, ids, caplog):
    path = ids("train-1", "train-2")
    folder = build("imdb", out=tmp_path, family="custom", forget_ids=path)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    build("imdb", out=tmp_path, family="custom", forget_ids=path)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not caplog.messages


@pytest.mark.parametrize(("text", "message"), [
    ("train-1\ntest-3\n", "expected ids of training rows of imdb, got one of test: .*ids.txt line 2, 'test-3'"),
    ("train-1\nood-0\n", "got one of ood: .* line 2"),
    ("nobody\n", "got an unknown one: .*ids.txt line 1, 'nobody'"),
    ("train-1\ntrain-1\n", "expected every id once, got 'train-1' in lines 1 and 2"),
    ("train-1\n\n", "got a blank one: .*ids.txt line 2"), ("", "got an empty file: .*ids.txt"),
    ("".join(f"train-{i}\n" for i in range(60)), "expected a training row of imdb that is not forgotten, got all 60"),
])  # fmt: skip
@pytest.mark.usefixtures("small")
def test_a_wrong_list_is_one_line_before_anything_is_written(tmp_path, ids, capsys, text, message):
    out, path = tmp_path / "out", ids(text=text)
    with pytest.raises(ValueError, match=message):
        build("imdb", out=out, family="custom", forget_ids=path)
    assert main(["build", "imdb", "--family=custom", f"--forget_ids={path}", f"--out={out}"]) == 2
    printed, err = capsys.readouterr()
    assert err.startswith("mubench: expected") and err.count("\n") == 1 and not printed and not out.exists()


def check_custom(listed: list[str]) -> None:
    """Apply a list to 40 rows; it raises an error or deletes exactly the listed rows."""
    splits = {"train": [{"example_id": f"r{i}", "label": i % 3} for i in range(40)], "test": [{"example_id": "t0"}]}
    try:
        found = families._custom_deletion(
            TASKS["imdb"], {name: i for i, name in enumerate(listed, 1)}, Path("ids.txt"), splits
        )
    except ValueError as raised:
        error = raised
    else:
        assert set(listed) < {f"r{i}" for i in range(40)}
        forgotten = {f"r{i}" for i in range(40) if found.ranks[i] < len(listed)}
        ((ratio, size),) = found.forget.items()
        assert forgotten == set(listed) and size == len(listed) and abs(100 * size / 40 - ratio) <= 0.5
        return
    assert len(str(error).splitlines()) == 1
    assert len(listed) == 40 or not set(listed) <= {f"r{i}" for i in range(40)}


LISTED = st.one_of(
    st.lists(st.integers(0, 39).map("r{}".format), unique=True, min_size=1, max_size=40),
    st.lists(st.one_of(st.integers(0, 45).map("r{}".format), st.just("t0"), st.text()), unique=True, min_size=1),
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(LISTED)
def test_a_list_of_ids_is_refused_or_deleted_exactly(listed):
    check_custom(listed)


@pytest.mark.nightly
@settings(max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LISTED)
def test_many_lists_of_ids_are_refused_or_deleted_exactly(listed):
    check_custom(listed)


# paper


def original_rows() -> dict[str, list[dict[str, object]]]:
    """Return a small imdb in its original order."""
    splits = small_rows("old")
    for part in splits.values():
        for i, row in enumerate(part):
            row["source_index"] = i
    return splits


LIST = [7, 3, 50, 2, 59, 0, 31, 12, 44, 5, 6, 21, 33, 8]
ORDER = families._order_checksum([f"train-{i}" for i in range(60)])


@pytest.fixture
def proven(monkeypatch, tmp_path):
    """Turn imdb into a task of 60 rows in the order of a published list, and return the folder of that list."""
    data = "".join(f"{i}\n" for i in LIST).encode()
    one = PaperList(files={"imdb.txt": hashlib.sha256(data).hexdigest()}, rows=60, order=ORDER, fault="it is small")
    monkeypatch.setitem(PAPER_LISTS, "imdb", one)
    monkeypatch.setitem(TASKS["imdb"].counts, "full", COUNTS)
    monkeypatch.setitem(HUB, "imdb", original_rows)
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "imdb.txt").write_bytes(data)
    return folder


def test_a_paper_build_deletes_the_listed_rows(proven, tmp_path):
    words = ["build", "imdb", "--tier=full", "--family=paper", f"--paper-splits={proven}", f"--out={tmp_path}"]
    assert main(words) == 0
    folder = tmp_path / "mu-bench-paper"
    info = task_info("imdb", data=folder, family="paper")
    assert info.forget == {k: k * 14 // 10 for k in range(1, 11)} == {k: int(k / 10 * 14) for k in range(1, 11)}
    train = load_task("imdb", data=folder, family="paper")["train"]
    assert train["source_index"][:14] == LIST
    ranks = deletion_ranks([f"train-{i}" for i in range(60)], [i % 2 for i in range(60)], task="imdb")
    assert train["source_index"][14:] == [i for i in ranks.argsort().tolist() if i not in LIST]
    for ratio in (1, 10):
        forget = load_dataset(str(folder), f"imdb_del{ratio}")["forget"]
        assert sorted(forget["source_index"]) == sorted(LIST[: info.forget[ratio]])
    manifest = read_manifest(next(folder.rglob("manifest.json")))
    assert manifest["command"].endswith("build imdb --tier full --family paper --paper_splits DIR")


def test_a_paper_build_does_not_depend_on_the_order_of_rows(proven, tmp_path, monkeypatch):
    infos = []
    for out in ("a", "b"):
        folder = build("imdb", tier="full", out=tmp_path / out, family="paper", paper_splits=proven)
        infos.append(task_info("imdb", data=folder, family="paper"))
        rows = original_rows()
        rows["train"] = random.Random(0).sample(rows["train"], 60)
        monkeypatch.setitem(HUB, "imdb", lambda rows=rows: rows)
    assert infos[0] == infos[1]


def shift_index(row, i):
    row["source_index"] = (i + 1) % 60


def drop_index(row, i):
    row["source_index"] = None


def repeat_index(row, i):
    row["source_index"] = max(i, 1)


def rename_row(row, i):
    row["example_id"] = f"train-{i if i else 99}"


@pytest.mark.parametrize(("change", "message"), [
    (shift_index, f"expected the rows of imdb in the order with checksum {ORDER}, got one with [0-9a-f]{{64}}"),
    (drop_index, "expected 60 training rows of imdb with their indices in the original order, got 60 with 0 indices"),
    (repeat_index, "got 60 with 59 indices"),
    (rename_row, "in the order with checksum"),
])  # fmt: skip
def test_rows_in_another_order_than_the_published_one_are_refused(proven, tmp_path, monkeypatch, change, message):
    rows = original_rows()
    for i, row in enumerate(rows["train"]):
        change(row, i)
    monkeypatch.setitem(HUB, "imdb", lambda: rows)
    with pytest.raises(ValueError, match=message):
        build("imdb", tier="full", out=tmp_path, family="paper", paper_splits=proven)
    assert not (tmp_path / "mu-bench-paper").exists()


def test_a_list_with_another_hash_is_refused_before_rows_are_read(proven, tmp_path, monkeypatch):
    (proven / "imdb.txt").write_text("1\n")
    monkeypatch.setitem(HUB, "imdb", lambda: pytest.fail("rows were read"))
    with pytest.raises(ValueError, match=r"expected imdb\.txt with SHA-256"):
        build("imdb", tier="full", out=tmp_path, family="paper", paper_splits=proven)


def test_without_a_folder_the_list_is_downloaded(proven, tmp_path, monkeypatch):
    requested = []
    monkeypatch.setattr(
        "mubench.hub_builders.deletion.forget_lists._download_list", lambda *name: requested.append(name) or b"1\n"
    )
    with pytest.raises(ValueError, match=r"expected imdb\.txt with SHA-256"):
        build("imdb", tier="full", out=tmp_path, family="paper")
    assert requested == [("imdb.txt", PAPER_LISTS["imdb"].commit)]


def test_a_paper_build_of_the_last_rows_without_a_test_split(grouped, tmp_path, monkeypatch):
    """As in TOFU, no row is held out and the build has only some ratios."""
    one = PaperList(rows=60, last={1: 2, 5: 6, 10: 12}, order=ORDER, fault="none")
    rows = original_rows()
    for i, row in enumerate(rows["train"]):
        row["group"] = f"author {i // 4}"
    for row in rows["ood"]:
        row["group"] = "others"
    monkeypatch.setitem(PAPER_LISTS, "imdb", one)
    monkeypatch.setitem(TASKS["imdb"].counts, "full", {"train": 48, "validation": 4, "test": 8, "ood": 10})
    monkeypatch.setitem(HUB, "imdb", lambda: {"train": list(rows["train"]), "ood": rows["ood"]})
    folder = build("imdb", tier="full", out=tmp_path, family="paper")
    info = task_info("imdb", data=folder, family="paper")
    assert info.counts == {"train": 60, "ood": 10} and info.forget == {1: 2, 5: 6, 10: 12}
    assert set(config_files(folder)) == {"imdb", "imdb_del1", "imdb_del5", "imdb_del10"}
    for ratio, size in info.forget.items():
        forget = load_task("imdb", ratio, data=folder, family="paper")["forget"]
        assert sorted(forget["source_index"]) == list(range(60 - size, 60))
    with pytest.raises(ValueError, match=r"ratio of imdb \(paper family\) must be one of 1, 5, 10, got 3"):
        load_task("imdb", 3, data=folder, family="paper")
    rows["ood"].pop()
    with pytest.raises(ValueError, match="expected 60 train, 10 ood rows of imdb, got 60 train, 9 ood"):
        build("imdb", tier="full", out=tmp_path, family="paper")


@pytest.mark.parametrize("task", [key for key, one in PAPER_LISTS.items() if one.order is None])
def test_a_task_in_an_unknown_order_is_refused_with_the_reason(task, tmp_path, monkeypatch):
    monkeypatch.setattr("mubench.hub_builders.dataset.build.load_rows", lambda *_, **__: pytest.fail("rows were read"))
    with pytest.raises(
        ValueError, match=f"expected .* rows are known in the order of its list, got {task}: "
    ) as error:
        build(task, tier="full", out=tmp_path, family="paper")
    assert str(error.value).endswith(PAPER_LISTS[task].unproven) and not list(tmp_path.iterdir())


def test_a_task_without_a_published_list_is_refused(tmp_path, monkeypatch):
    monkeypatch.delitem(PAPER_LISTS, "imdb")
    with pytest.raises(ValueError, match="got imdb: there is no published list"):
        build("imdb", tier="full", out=tmp_path, family="paper")


# Incompatible options


@pytest.mark.parametrize(("words", "message"), [
    ("imdb --family group", "expected a task whose rows have groups (none) with family group, got imdb"),
    ("imdb --family paper", "expected tier full with family paper, whose lists are about the original rows, got mini"),
    ("imdb --family paper --tier partial --allow_partial", "expected tier full with family paper"),
    ("imdb --family paper --tier full", "rows are known in the order of its list, got imdb: no checksum"),
    ("imdb --family paper --deletion_seed 1", "expected deletion seed 0 with family paper, whose sets are given"),
    ("imdb --family custom", "expected forget_ids with family custom, a file of example ids, one per line; got none"),
    ("imdb --family memorised_low", "expected forget_ids with family memorised_low, a file of example ids"),
    ("imdb --family memorised_low --forget_ids x --deletion_seed 1", "expected deletion seed 0 with family memorised"),
    ("imdb --family custom --forget_ids x --deletion_seed 2", "expected deletion seed 0 with family custom"),
    ("imdb --family custom --forget_ids x", "expected a file of example ids, one per line, got none: x"),
    ("imdb cifar10 --family custom --forget_ids x", "expected one task with forget_ids, got imdb, cifar10"),
    ("imdb --forget_ids x", f"expected family {OF_LISTS} with forget_ids, got family canonical and x"),
    ("imdb --family group --forget_ids x", f"expected family {OF_LISTS} with forget_ids, got family group and x"),
    ("imdb --paper_splits x", "expected family paper with paper_splits, got family canonical and x"),
    ("imdb --family custom --forget_ids x --paper_splits y", "expected family paper with paper_splits"),
    ("imdb --family odd", f"family must be one of {', '.join(names.FAMILIES)}, got 'odd'"),
    ("imdb --deletion_seed -1", "deletion_seed must be a whole number from 0 to 4294967295, got -1"),
])  # fmt: skip
def test_incompatible_options_are_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for key in list(TASKS):
        monkeypatch.setitem(TASKS, key, dataclasses.replace(TASKS[key], group=None))
    assert main(["build", *words.split()]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("mubench: ") and message in err and err.count("\n") == 1 and not out
    assert not list(tmp_path.iterdir())


def test_the_error_of_a_task_without_groups_lists_those_with_groups(grouped):
    with pytest.raises(ValueError, match=r"rows have groups \(.*imdb.*\) with family group, got cifar10"):
        check_deletion(dataclasses.replace(TASKS["cifar10"], group=None), "mini", DeletionRequest(family="group"))


def test_all_tasks_are_checked_before_one_is_built(grouped, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(TASKS, "cifar10", dataclasses.replace(TASKS["cifar10"], group=None))
    assert main(["build", "imdb", "cifar10", "--family=group", f"--out={tmp_path}"]) == 2
    assert "got cifar10" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_missing_folder_of_lists_is_an_error(proven, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected a folder of list files as paper_splits, got .*nowhere"):
        check_deletion(TASKS["imdb"], "full", DeletionRequest(family="paper", paper_splits=tmp_path / "nowhere"))


@pytest.mark.parametrize(("family", "line"), [
    ("group", "build imdb --family group"),
    ("paper", "build imdb --family paper --tier full"),
    ("custom", "build imdb --family custom --forget_ids FILE"),
    ("memorised_high", "build imdb --family memorised_high --forget_ids FILE"),
])  # fmt: skip
def test_the_error_of_a_missing_build_names_its_command(tmp_path, monkeypatch, family, line):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as error:
        task_info("imdb", family=family)
    assert str(error.value) == (f"no imdb in {names.dataset_folder(family)}: make it with `mubench {line}`")


def test_known_tasks_are_those_that_the_check_accepts():
    assert known_tasks("canonical") == known_tasks("custom") == list(TASKS)
    for family in ("group", "paper"):
        request, tier = DeletionRequest(family=family), "full" if family == "paper" else "mini"
        for key, task in TASKS.items():
            if key in known_tasks(family):
                check_deletion(task, tier, request)
            else:
                with pytest.raises(ValueError, match=f"got {key}"):
                    check_deletion(task, tier, request)
    with pytest.raises(ValueError, match="got 'odd'"):
        known_tasks("odd")
