"""Loading of built tasks: forget and retain sets, damaged and missing files, messages."""

import hashlib
import json
import os
import re
import shlex
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Value, load_dataset

from mubench.hub_builders.__main__ import main
from mubench.hub_builders.dataset import task_info as info_module
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task, split_by_rank, task_info, task_shards
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.utils.hub_client import MissingFileError
from tests.conftest import PAIR


@pytest.fixture
def copy(mini, tmp_path):
    """Return a dataset folder that a test may damage."""
    return shutil.copytree(mini, tmp_path / "mu-bench")


def shard(folder, name="train-d02.parquet"):
    return next((folder / "data" / "imdb").glob(f"*/{name}"))


@pytest.mark.parametrize("task", PAIR)
def test_task_info_has_tier_counts_and_labels(mini, task):
    info = task_info(task, data=mini)
    assert (info.task, info.tier, info.family, info.deletion_seed) == (task, "mini", "canonical", 0)
    assert info.counts == TASKS[task].counts["mini"] == load_task(task, data=mini).num_rows
    assert info.labels == TASKS[task].label_names("mini")
    assert len(info.split) == len(info.files) == 64


def test_the_sets_of_all_ratios_are_nested_disjoint_and_covering(mini):
    train = load_task("imdb", data=mini)["train"]
    everything = set(train["example_id"])
    smaller: set[str] = set()
    for ratio in range(1, 11):
        forget, retain = (set(part["example_id"]) for part in split_by_rank(train, 12 * ratio))
        assert len(forget) == 12 * ratio and smaller < forget
        assert not forget & retain and forget | retain == everything
        smaller = forget


def numbered(ranks):
    names = ClassLabel(names=["a", "b"])
    features = Features({"deletion_rank": Value("int32"), "label": names, "text": Value("string")})
    columns = {"deletion_rank": list(ranks), "label": [r % 2 for r in ranks], "text": [str(r) for r in ranks]}
    return Dataset.from_dict(columns, features=features)


@pytest.mark.parametrize("order", ["sorted", "shuffled", "indexed"])
def test_forget_and_retain_set_do_not_depend_on_the_order_of_rows(order):
    ranks = np.arange(200)
    train = numbered(np.random.default_rng(0).permutation(ranks) if order == "shuffled" else ranks)
    if order == "indexed":
        train = train.shuffle(seed=0)
    forget, retain = split_by_rank(train, 10)
    assert sorted(forget["deletion_rank"]) == list(range(10))
    assert sorted(retain["deletion_rank"]) == list(range(10, 200))
    assert forget["text"][:] == [str(r) for r in forget["deletion_rank"]]
    assert forget.features == train.features


def test_part_of_the_training_rows_is_refused():
    with pytest.raises(ValueError, match="whole train split"):
        split_by_rank(numbered(range(200)).select(range(50, 200)), 5)


@pytest.mark.parametrize("ratio", [0, 11, 2.5, "abc", -1])
def test_a_wrong_ratio_is_an_error(mini, ratio):
    with pytest.raises(ValueError, match="ratio must be a whole percentage from 1 to 10"):
        load_task("imdb", ratio, data=mini)


@pytest.mark.parametrize("data", ["nowhere", "some/where", "a/b/c", "."])
def test_the_error_of_a_wrong_folder_names_the_build_command(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    for read in (task_info, load_task):
        with pytest.raises(FileNotFoundError) as error:
            read("cifar10", data=data)
        assert str(error.value).endswith("make it in mu-bench with `mubench build cifar10`")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", ["/no/such/folder", "./where", "~/mu-bench", "a/b/c", "../some/where", "some/"])
def test_a_path_is_never_requested_from_the_hub(tmp_path, monkeypatch, capsys, data):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "mubench.hub_builders.dataset.task_info.fetch_file", lambda *_: pytest.fail("a request to the Hub")
    )
    assert main(["verify", "cifar10", "--data", data]) == 2
    err = capsys.readouterr().err
    assert f"expected a folder, or NAMESPACE/NAME on the Hub, got no folder {data}; no cifar10 in " in err
    assert err.count("\n") == 1


def test_a_published_build_without_a_network_is_one_line(capsys):
    assert main(["verify", "cifar10", "--data", "nobody/mu-bench"]) == 2
    err = capsys.readouterr().err
    assert "README.md of nobody/mu-bench from the Hub, got no network: HF_HUB_OFFLINE is set" in err
    assert err.count("\n") == 1


def test_the_error_of_a_missing_task_names_the_build_command(small, tmp_path):
    folder = build("imdb", out=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no cifar10 in .*build cifar10 --out /.*`"):
        load_task("cifar10", data=folder)


@pytest.mark.parametrize("damage", ["cut", "gone", "garbled"])
def test_a_damaged_shard_is_named_in_one_line(copy, damage):
    path = shard(copy)
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else bytes(len(data)))
    with pytest.raises(ValueError, match=r"train-d02\.parquet; build it again with `mubench .* imdb --out ") as error:
        load_task("imdb", 5, data=copy)
    assert "\n" not in str(error.value)


def test_a_truncated_shard_is_detected_despite_cached_rows(copy):
    load_task("imdb", data=copy)
    path = shard(copy, "test-00000.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"test-00000\.parquet"):
        load_task("imdb", data=copy)


def run_command_of(error):
    """Run the command of a message."""
    line = re.search(r"with `mubench (.*)`$", str(error.value))[1]
    assert main(shlex.split(line)) == 0


def test_the_command_of_the_message_repairs_the_damage(copy):
    whole = load_task("imdb", data=copy)["train"]["example_id"][:]
    shard(copy).unlink()
    with pytest.raises(ValueError, match="expected") as error:
        load_task("imdb", data=copy)
    run_command_of(error)
    assert load_task("imdb", data=copy)["train"]["example_id"][:] == whole


@pytest.mark.parametrize(("place", "seed"), [("mu-bench", 0), ("mu-bench-d1", 1), ("some where/mu-bench-d2", 2)])
def test_the_command_of_the_message_builds_the_missing_task(small, tmp_path, monkeypatch, place, seed):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as error:
        task_info("imdb", data=place)
    run_command_of(error)
    assert task_info("imdb", data=place).deletion_seed == seed


def test_a_renamed_folder_is_rebuilt_under_its_usual_name(copy):
    folder = copy.rename(copy.with_name("renamed"))
    shard(folder).unlink()
    with pytest.raises(ValueError, match=r"build it again in mu-bench with `mubench build imdb`$"):
        load_task("imdb", data=folder)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "{"])
def test_a_damaged_manifest_is_named(copy, text):
    manifest = shard(copy, "manifest.json")
    manifest.write_text(text)
    with pytest.raises(ValueError, match=r"manifest.*manifest\.json"):
        task_info("imdb", data=copy)


@pytest.mark.parametrize(
    "forget", [None, {}, [1], {"x": 1}, {"5": "60"}, {"5": 2.5}, {"5": None}, {"-1": 3}, {"5": True}]
)
def test_a_manifest_without_forget_sizes_is_named(copy, forget):
    manifest = shard(copy, "manifest.json")
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "forget": forget}))
    with pytest.raises(
        ValueError, match=r"manifest with .*, got another \(.* at 'forget.*manifest\.json; build it again with"
    ):
        task_info("imdb", data=copy)


@pytest.mark.parametrize("size", [0, 200, -1, 1_000])
def test_an_empty_forget_or_retain_set_is_refused(size):
    with pytest.raises(ValueError, match=f"expected 1 to 199 rows to forget, got {size}"):
        split_by_rank(numbered(range(200)), size)


def test_a_hub_id_reads_the_same_files_at_one_commit(mini, tmp_path, monkeypatch):
    requested = []
    commit = tmp_path / ("c" * 40)
    commit.symlink_to(mini)

    def fetch(repository, name, revision):
        requested.append((repository, revision))
        return commit / name

    monkeypatch.setattr(info_module, "fetch_file", fetch)
    assert task_info("imdb", data="someone/mu-bench") == task_info("imdb", data=mini)
    expected = [("someone/mu-bench", None), *2 * [("someone/mu-bench", commit.name)]]
    assert requested == expected, "one commit, the README's"
    assert load_task("imdb", data="someone/mu-bench").num_rows == load_task("imdb", data=mini).num_rows
    assert set(requested[4:]) == {("someone/mu-bench", commit.name)}


@pytest.mark.parametrize("error", [MissingFileError, FileNotFoundError])
def test_only_a_list_of_sums_that_is_not_there_may_be_missing(mini, tmp_path, monkeypatch, error):
    def fetch(repository, name, revision):
        if name.endswith("SHA256SUMS"):
            raise error("expected sums from the Hub")
        return mini / name

    monkeypatch.setattr(info_module, "fetch_file", fetch)
    if error is MissingFileError:
        assert task_info("imdb", data="someone/mu-bench") == task_info("imdb", data=mini)
    else:
        with pytest.raises(FileNotFoundError, match="expected sums from the Hub"):
            task_info("imdb", data="someone/mu-bench")


def test_a_changed_file_in_the_cache_of_the_hub_is_named(copy, tmp_path, monkeypatch):
    monkeypatch.setattr(info_module, "fetch_file", lambda repository, name, revision: copy / name)
    change(shard(copy))
    with pytest.raises(
        ValueError, match=r"got \w{16}: .*train-d02.parquet; remove it from the cache, and it is fetch"
    ):
        load_task("imdb", data="someone/mu-bench")


def change(path):
    """Flip a bit of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("read", [load_task, task_shards])
@pytest.mark.parametrize("listed", [True, False])
def test_a_flipped_bit_is_refused_despite_cached_rows(copy, read, listed):
    whole = load_task("imdb", data=copy)["train"].to_list()
    if not listed:  # as before there was a list of sums
        shard(copy, "SHA256SUMS").unlink()
    change(shard(copy))
    with pytest.raises(ValueError, match=r"; build it again with `mubench build imdb --out ") as error:
        read("imdb", data=copy)
    assert ("train-d02.parquet" in str(error.value)) is listed and "\n" not in str(error.value)
    run_command_of(error)
    assert load_task("imdb", data=copy)["train"].to_list() == whole


def test_rows_that_were_read_from_a_changed_shard_are_not_served_once_it_is_mended(copy):
    """`load_dataset` checks nothing, and what it keeps must not come back."""
    path = shard(copy)
    data, state = path.read_bytes(), path.stat()
    table = pq.read_table(path)
    other = table.set_column(table.column_names.index("text"), "text", pa.array(["other"] * len(table)))
    pq.write_table(other.replace_schema_metadata(table.schema.metadata), path)
    assert "other" in load_dataset(str(copy), "imdb")["train"]["text"][:]
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert "other" not in load_task("imdb", data=copy)["train"]["text"][:]


def test_a_shard_is_hashed_once_a_process(copy, monkeypatch):
    for path in copy.rglob("*.parquet"):
        os.utime(path, (0, 0))  # else they could change again at the same time
    load_task("imdb", data=copy)
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed again"))
    monkeypatch.setattr(info_module, "read_manifest", lambda path, listed: json.loads(path.read_text()))
    load_task("imdb", data=copy)


def test_a_readme_that_lists_fewer_shards_hides_none(copy):
    lines = (copy / "README.md").read_text().splitlines(keepends=True)
    (copy / "README.md").write_text("".join(line for line in lines if "train-d02" not in line))
    assert load_task("imdb", data=copy).num_rows == TASKS["imdb"].counts["mini"]


def test_an_unknown_task_or_family_lists_the_known_ones(mini):
    with pytest.raises(ValueError, match="task must be one of cifar10, "):
        load_task("mnist", data=mini)
    with pytest.raises(ValueError, match="family must be one of canonical"):
        load_task("imdb", data=mini, family="odd")
