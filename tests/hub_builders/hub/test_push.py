"""Pushes of datasets and models: the built files and nothing else, and ids in place of restricted rows."""

import dataclasses
import importlib.metadata
import json
import re
import shutil
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from mubench.hub_builders.__main__ import main
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task, task_info
from mubench.hub_builders.dataset.readme import read_manifests, write_readme
from mubench.hub_builders.hub.model_folder import Run, read_run
from mubench.hub_builders.hub.push import publish
from mubench.hub_builders.hub.restricted import verify, write_ids
from mubench.hub_builders.raw import RAW
from mubench.hub_builders.tasks import TASKS
from mubench.trainers.models.modalities.pretrained import hash_files
from tests.conftest import PAIR
from tests.fixtures.data import small_rows
from tests.fixtures.hub_server import Fault
from tests.fixtures.walk import COUNTS, few, files

# Many short builds and pushes.
pytestmark = pytest.mark.slow

TAG = f"v{importlib.metadata.version('mubench')}"
MINI = "mu-bench/mu-bench-mini"
PARTIAL = "mu-bench/mu-bench-partial"
SECRET = "unpublished"
BODY = """# MU-Bench

```python
ds = load_dataset("mu-bench", "imdb_del5")  # forget / retain
```

![rows](imdb.png)
![the leaderboard](leaderboard.png)
![elsewhere](https://example.org/a.png)
"""


@pytest.fixture
def partial(tmp_path, monkeypatch):
    """Return a function that builds a partial imdb, whose rows are restricted, of texts with a word."""

    def made(word=SECRET, where="built", change=lambda splits: splits):
        monkeypatch.setitem(RAW, "imdb", lambda raw: change(small_rows(word)))
        return build("imdb", tier="partial", raw=tmp_path, allow_partial=True, out=tmp_path / where)

    return made


@pytest.fixture(scope="session")
def held(tmp_path_factory):
    """Return a partial imdb, whose rows are restricted; tests must not change it."""
    out = tmp_path_factory.mktemp("held")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RAW, "imdb", lambda raw: small_rows(SECRET))
        return build("imdb", tier="partial", raw=out, allow_partial=True, out=out)


@pytest.fixture
def copy(mini, tmp_path):
    """Return a dataset folder that a test may change."""
    return shutil.copytree(mini, tmp_path / "mu-bench")


@pytest.fixture
def model(tmp_path):
    """Return a function that writes a small model folder."""

    def made(tier="mini", **columns):
        folder = tmp_path / "models" / f"imdb-{tier}-bert"
        (folder / "reference").mkdir(parents=True)
        Run(
            task="imdb", tier=tier, family="canonical", deletion_seed=0, ratio=5, split="0", backbone="bert",
            base_seed=0, method="scrub", seed=0, recipe={},
        ).write(folder)  # fmt: skip
        for name in ("model.safetensors", "config.json", "vocab.txt", ".lock", "model.lock", ".cache.json"):
            (folder / name).write_text("1")
        head = "base_model: imdb-mini-bert\ndatasets:\n- mu-bench\ntags:\n- mu-bench\n"
        body = "# A model\n\nbase_model: mine\n\nDataset `mu-bench`, config `imdb_del5`\n"
        (folder / "README.md").write_text(f"---\n{head}---\n\n{body}")
        outputs = {"example_id": ["a"], "label": [0], "logits": [[0.1, 0.9]], **columns}
        pq.write_table(pa.table(outputs), folder / "reference" / "test.parquet")
        return folder

    return made


def pushed_files(repository):
    return {name: blob.data for name, blob in repository.head.files.items() if name != ".gitattributes"}


def fetched(there, folder):
    """Write pushed files into a folder, and return it."""
    for name, data in there.items():
        (folder / "down" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "down" / name).write_bytes(data)
    return folder / "down"


def named(card):
    """Return every file in the YAML of a card."""
    head = yaml.safe_load(card.decode().split("---\n")[1])
    return {path for config in head["configs"] for part in config["data_files"] for path in part["path"]}


def check_history(repository):
    """Check that every commit has every file of its card."""
    for commit in repository.commits[1:]:
        assert named(commit.files["README.md"].data) <= commit.files.keys()


def test_a_push_uploads_the_built_files_and_nothing_else(hub, copy):
    for stray in ("notes.txt", ".README.md", "data/imdb/.staging/train-d01.parquet", "data/imdb/00000000/x.parquet"):
        (copy / stray).parent.mkdir(parents=True, exist_ok=True)
        (copy / stray).write_text("stray")
    before = files(copy)
    done = publish(copy)
    assert done.target.repository == MINI
    there = pushed_files(hub.dataset(MINI))
    shards = {name for name in before if name.startswith("data/") and before[name] != b"stray"}
    assert there.keys() == {"README.md", *shards}
    assert {name: there[name] for name in shards} == {name: before[name] for name in shards}
    assert files(copy) == before, "the folder itself is not changed"
    assert hub.dataset(MINI).head.title == f"Push {', '.join(PAIR)} (mini tier)"
    assert not publish(copy).plan and len(hub.dataset(MINI).commits) == 2


def test_a_rebuild_replaces_the_pushed_files(hub, small, tmp_path):
    publish(build("imdb", out=tmp_path))
    small("new")
    publish(build("imdb", out=tmp_path))
    old, new = (set(commit.files) for commit in hub.dataset(MINI).commits[1:])
    assert old & new == {"README.md", ".gitattributes"} and len(old) == len(new)
    check_history(hub.dataset(MINI))


@pytest.mark.parametrize(
    ("repository", "line"),
    [
        ("mu-bench/mu-bench", "whose name ends in -mini, as it holds tier mini, got mu-bench/mu-bench"),
        ("mu-bench/mini-bench", "whose name ends in -mini"),
        ("mu-bench-mini", "expected a repository like namespace/name, got 'mu-bench-mini'"),
        ("a/b/c-mini", "expected a repository like namespace/name"),
        ("/mu-bench-mini", "expected a repository like namespace/name"),
    ],
)
def test_a_name_without_the_tier_is_refused(hub, mini, repository, line):
    with pytest.raises(ValueError, match=re.escape(line)):
        publish(mini, repository)
    assert not hub.log


def test_a_name_with_the_tier_is_accepted_and_inserted_into_the_card(hub, copy):
    write_readme(copy, BODY)
    publish(copy, "mu-bench/my-own-mini", private=True)
    repository = hub.dataset("mu-bench/my-own-mini")
    assert repository.private
    card = repository.head.files["README.md"].data.decode()
    assert 'load_dataset("mu-bench/my-own-mini", "imdb_del5")  # forget / retain' in card


def test_images_of_the_folder_are_pushed_and_missing_ones_removed_from_the_card(hub, copy):
    write_readme(copy, BODY)
    (copy / "imdb.png").write_bytes(b"png")
    publish(copy)
    there = pushed_files(hub.dataset(MINI))
    assert there["imdb.png"] == b"png"
    card = there["README.md"].decode()
    assert "![rows](imdb.png)" in card and "leaderboard.png" not in card
    assert "![elsewhere](https://example.org/a.png)" in card


def test_mixed_tiers_are_refused(hub, mini, partial, tmp_path):
    folder = partial(where="mixed")
    shutil.copytree(mini / "data" / "cifar10", folder / "data" / "cifar10")
    write_readme(folder, manifests=[*read_manifests(folder).values(), read_manifests(mini)["cifar10"]])
    with pytest.raises(ValueError, match=r"expected one tier in .*, got mini \(cifar10\) and partial \(imdb\)"):
        publish(folder)
    assert not hub.log


@pytest.mark.parametrize("damage", ["cut", "gone", "changed"])
def test_a_damaged_folder_is_not_pushed(hub, copy, damage):
    path = next(copy.glob("data/imdb/*/train-d02.parquet"))
    data = path.read_bytes()
    path.write_bytes(data[:-1] if damage == "cut" else data[:-9] + b"x" + data[-8:])
    if damage == "gone":
        path.unlink()
    with pytest.raises(ValueError, match=r"build it again with `mubench build imdb`"):
        publish(copy, MINI)
    assert not hub.log


@pytest.mark.parametrize("kind", ["nothing", "empty", "other", "file"])
def test_other_folders_are_refused(hub, tmp_path, kind):
    folder = tmp_path / "folder"
    if kind == "file":
        folder.touch()
    elif kind != "nothing":
        folder.mkdir()
        (folder / ("README.md" if kind == "other" else "x.json")).write_text("# Something else\n")
    with pytest.raises((ValueError, FileNotFoundError), match="expected "):
        publish(folder)
    assert not hub.log


def test_of_restricted_rows_only_ids_and_ranks_are_pushed(hub, held):
    folder = held
    before = files(folder)
    publish(folder)
    there = pushed_files(hub.dataset(PARTIAL))
    assert files(folder) == before
    tables = {name: pq.read_table(BytesIO(data)) for name, data in there.items() if name.endswith(".parquet")}
    assert sorted(name.split("/")[-1] for name in tables) == [
        f"ids-{split}.parquet" for split in ("ood", "test", "train", "validation")
    ]
    for table in tables.values():
        assert table.column_names == ["example_id", "source_index", "deletion_rank"]
        assert SECRET not in str(table.to_pylist()) and b"text" not in str(table.schema.metadata).encode()
    assert not [name for name, data in there.items() if SECRET.encode() in data]
    train = next(table for name, table in tables.items() if "train" in name)
    assert train["deletion_rank"].to_pylist() == list(range(60))
    assert train["example_id"].to_pylist() == load_task("imdb", data=folder)["train"]["example_id"][:]
    check_history(hub.dataset(PARTIAL))


def test_the_card_describes_how_to_build_restricted_rows(hub, partial, tmp_path):
    folder = partial()
    reading = '## How to read a row\n\nds = load_dataset("mu-bench", "imdb_del5")  # rows that were built\n'
    write_readme(folder, f"{BODY}\n{reading}")
    for picture in ("imdb.png", "leaderboard.png"):
        (folder / picture).write_bytes(b"rows")
    publish(folder)
    there = pushed_files(hub.dataset(PARTIAL))
    card = there["README.md"].decode()
    head = yaml.safe_load(card.split("---\n")[1])
    assert [config["config_name"] for config in head["configs"]] == ["imdb_ids"]
    assert [part["split"] for part in head["configs"][0]["data_files"]] == ["train", "validation", "test", "ood"]
    assert f'ds = load_dataset("{PARTIAL}", "imdb_ids")\n' in card and card.endswith(reading)
    assert "`mubench build imdb --tier partial --raw DIR --allow_partial`" in card
    assert f"mubench verify imdb --data {PARTIAL}" in card
    assert "png" not in card.replace("a.png", "") and not [name for name in there if name.endswith("png")]


def test_rows_are_pushed_beside_ids_of_restricted_rows(hub, partial, monkeypatch, tmp_path):
    folder = partial()
    monkeypatch.setitem(TASKS, "cifar10", dataclasses.replace(TASKS["cifar10"], redistributable=True))
    monkeypatch.setitem(RAW, "cifar10", lambda raw: few(COUNTS))
    build("cifar10", tier="partial", raw=tmp_path, allow_partial=True, out=folder.parent)
    write_readme(folder, BODY + '![digits](cifar10.png)\nload_dataset("mu-bench", "cifar10_del5")  # as ever\n')
    for picture in ("imdb.png", "cifar10.png", "eval.yaml"):
        (folder / picture).write_bytes(b"rows")
    publish(folder)
    there = pushed_files(hub.dataset(PARTIAL))
    boards = {(board["config"], board["split"]) for board in yaml.safe_load(there["eval.yaml"])["tasks"]}
    assert boards == {("imdb_ids", "train"), *((f"cifar10_del{ratio}", "forget") for ratio in range(1, 11))}
    card = there["README.md"].decode()
    names = [config["config_name"] for config in yaml.safe_load(card.split("---\n")[1])["configs"]]
    assert names == ["cifar10", *(f"cifar10_del{ratio}" for ratio in range(1, 11)), "imdb_ids"]
    assert f'load_dataset("{PARTIAL}", "cifar10_del5")  # as ever' in card
    assert "cifar10.png" in there and "imdb.png" not in there
    assert len(load_task("cifar10", 10, data=fetched(there, tmp_path))["forget"]) == 16
    check_history(hub.dataset(PARTIAL))


def test_loading_restricted_rows_names_the_commands_that_build_them(hub, held):
    folder = held
    publish(folder)
    assert task_info("imdb", data=PARTIAL) == task_info("imdb", data=folder)
    with pytest.raises(FileNotFoundError) as error:
        load_task("imdb", 5, data=PARTIAL)
    printed = str(error.value)
    assert "got only ids" in printed and "build imdb --tier partial --raw DIR --allow_partial`" in printed
    assert printed.endswith(f"check them with `mubench verify imdb --data {PARTIAL}`")


def test_a_rebuild_from_the_original_files_is_verified(hub, held, partial, monkeypatch, capsys):
    publish(held)
    monkeypatch.chdir(partial(where="again").parent)
    assert verify("imdb", data=PARTIAL) == task_info("imdb").split
    with pytest.raises(ValueError, match="expected two builds to compare, got mu-bench for both"):
        verify("imdb", data="mu-bench")
    assert main(["verify", "imdb", "--data", PARTIAL]) == 0
    printed = capsys.readouterr().out
    assert printed == f"mu-bench: imdb has the rows and deletions of {PARTIAL} (split {task_info('imdb').split[:8]})\n"


def lose_one(splits):
    splits["test"].pop()
    return splits


def rename_one(splits):
    splits["train"][7]["example_id"] = "another"
    return splits


def relabel_two(splits):
    """Swap labels, which changes ranks."""
    for row in splits["train"][:2]:
        row["label"] = 1 - row["label"]
    return splits


def number(splits):
    for place, row in enumerate(splits["train"]):
        row["source_index"] = place
    return splits


def drop_ood(splits):
    del splits["ood"]
    return splits


CHANGES = {
    lose_one: "expected the 30 ids of mu-bench/mu-bench-partial in imdb test of .*, got 29 ids, 29 of them the same",
    rename_one: "expected the 60 ids .* in imdb train of .*, got 60 ids, 59 of them the same",
    relabel_two: "expected deletion_rank in imdb train of .* as in mu-bench/mu-bench-partial, got other values",
    number: "expected source_index in imdb train",
    drop_ood: "expected the splits train, validation, test, ood of .*, got train, validation, test",
}


@pytest.mark.parametrize("change", CHANGES)
def test_verify_names_the_first_difference_of_a_rebuild(hub, held, partial, change):
    publish(held)
    other = partial(where="other", change=change)
    with pytest.raises(ValueError, match=CHANGES[change]) as error:
        verify("imdb", data=PARTIAL, built=other)
    assert "\n" not in str(error.value)


def test_verify_detects_other_contents_under_the_same_ids(hub, held, partial):
    publish(held)
    other = partial("corrected", where="other")
    with pytest.raises(ValueError, match=r"expected the split fingerprint .*contents or labels are not"):
        verify("imdb", data=PARTIAL, built=other)


def test_published_rows_are_verified(hub, mini):
    publish(mini)
    assert verify("cifar10", data=MINI, built=mini) == task_info("cifar10", data=mini).split


@pytest.mark.parametrize("damage", ["gone", "garbled"])
def test_a_damaged_rebuild_is_not_verified(hub, held, partial, damage):
    publish(held)
    other = partial(where="other")
    path = next(other.glob("data/imdb/*/test-*.parquet"))
    path.write_bytes(b"PAR1" * 9)
    if damage == "gone":
        path.unlink()
    with pytest.raises((ValueError, FileNotFoundError), match=r"expected \d+ bytes, got \d+: .*test-00000"):
        verify("imdb", data=PARTIAL, built=other)


def test_groups_are_published_with_the_ids(partial, monkeypatch, tmp_path):
    """The group of each row is published, since whole groups are deleted."""
    folder = partial()
    (manifest,) = read_manifests(folder).values()
    shard = folder / "data" / "imdb" / manifest["files"][:8] / manifest["shards"]["test"][0]
    table = pq.read_table(shard)
    pq.write_table(table.append_column("group", pa.array(["g"] * len(table))), shard)
    made = write_ids(shard.parent, tmp_path / "ids", {**manifest, "shards": {"test": [shard.name]}})
    assert made["shards"] == {"test": ["ids-test.parquet"]}
    assert made["bytes"] == {"ids-test.parquet": (tmp_path / "ids" / "ids-test.parquet").stat().st_size}
    ids = pq.read_table(tmp_path / "ids" / "ids-test.parquet")
    assert ids.column_names == ["example_id", "source_index", "deletion_rank", "group"]
    assert set(json.loads(ids.schema.metadata[b"huggingface"])["info"]["features"]) == set(ids.column_names)


def test_a_download_of_ids_is_not_pushed(hub, held, tmp_path):
    publish(held)
    with pytest.raises(ValueError, match="got only ids: it was downloaded, not built"):
        publish(fetched(pushed_files(hub.dataset(PARTIAL)), tmp_path))


def test_a_model_folder_is_pushed_without_locks_and_hidden_files(hub, model):
    folder = model()
    before = files(folder)
    done = publish(folder)
    assert done.target.repository == "mu-bench/imdb-mini-bert" and done.target.kind == "model"
    there = pushed_files(hub.model("mu-bench/imdb-mini-bert"))
    assert there.keys() == {
        "README.md", "run.json", "model.safetensors", "config.json", "vocab.txt", "reference/test.parquet",
    }  # fmt: skip
    assert files(folder) == before
    card = there["README.md"].decode()
    assert card.startswith("---\nbase_model: mu-bench/imdb-mini-bert\ndatasets:\n- mu-bench/mu-bench-mini\n")
    body = "# A model\n\nbase_model: mine\n\nDataset `mu-bench/mu-bench-mini`, config `imdb_del5`\n"
    assert card.endswith(f"tags:\n- mu-bench\n---\n\n{body}")
    assert not publish(folder).plan


@pytest.mark.parametrize(
    ("tier", "data", "parent"),
    [
        ("mini", MINI, "models/"),
        ("mini", MINI, "my models (1)/"),
        ("mini", MINI, ""),
        ("partial", "mu-bench", "models/"),
    ],
)
def test_the_example_of_a_model_card_names_the_repositories(hub, model, tier, data, parent):
    folder = model(tier)
    name = f"imdb-{tier}-bert"
    lines = 'rows = load_dataset("{}", "imdb_del5")\nmodel = Model.from_pretrained("{}")\nModel.from_pretrained("x")\n'
    (folder / "README.md").write_text("---\ntags: []\n---\n" + lines.format("mu-bench", f"{parent}{name}"))
    repository = publish(folder, f"mu-bench/other-{tier}-model").target.repository
    assert hub.model(repository).head.files["README.md"].data.decode().endswith(lines.format(data, repository))


def test_the_name_of_a_model_states_its_tier(hub, model):
    with pytest.raises(ValueError, match="whose name contains -mini-, as it holds tier mini, got mu-bench/bert"):
        publish(model(), "mu-bench/bert")
    assert not hub.log


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda folder: (folder / "optimizer.pt").touch(), r"expected \.json, .* files .*, got optimizer\.pt"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"expected weights as \.safetensors .*, got none"),
    ],
)
def test_a_folder_with_unexpected_files_or_without_weights_is_refused(hub, model, change, line):
    folder = model()
    change(folder)
    with pytest.raises(ValueError, match=line):
        publish(folder)
    assert not hub.repositories


@pytest.mark.parametrize(("tier", "goes"), [("partial", False), ("mini", True)])
def test_outputs_that_reveal_texts_are_not_pushed_for_restricted_rows(hub, model, tier, goes):
    publish(model(tier, top_ids=[[1, 2]]))
    there = pushed_files(hub.model(f"mu-bench/imdb-{tier}-bert"))
    assert ("reference/test.parquet" in there) is goes


def test_a_pushed_record_names_the_outputs_that_are_pushed(hub, model, tmp_path):
    folder = model("partial", top_ids=[[1, 2]])
    plain = {"example_id": ["b"], "label": [0], "logits": [[0.1, 0.9]]}
    pq.write_table(pa.table(plain), folder / "reference" / "train.parquet")
    run = read_run(folder).finished(outputs=hash_files(folder / "reference"))
    run.write(folder)
    publish(folder)
    found = read_run(fetched(pushed_files(hub.model("mu-bench/imdb-partial-bert")), tmp_path / "there"))
    assert found.outputs == {"train.parquet": run.outputs["train.parquet"]} and found.identity == run.identity
    assert read_run(folder) == run and len(run.outputs) == 2
    assert not publish(folder).plan


def test_plain_outputs_of_restricted_rows_are_pushed(hub, model):
    publish(model("partial"))
    assert "reference/test.parquet" in pushed_files(hub.model("mu-bench/imdb-partial-bert"))


def test_the_push_command_prints_the_changes(hub, copy, capsys):
    assert main(["push", str(copy)]) == 0
    assert main(["push", str(copy), "--repo", MINI]) == 0
    shards = len(list(copy.glob("data/*/*/*")))
    url = f"{hub.endpoint}/datasets/{MINI}"
    (slug,) = hub.collections
    released = f"tag {TAG}, collection {hub.endpoint}/collections/{slug}\n"
    printed = capsys.readouterr().out
    assert printed == f"{url}: {shards + 1} files written, 0 removed\n{released}{url}: nothing to change\n{released}"


def test_a_collection_holds_every_pushed_repository_and_each_has_the_tag_of_the_version(hub, mini, model, capsys):
    for _ in range(2):
        for folder in (mini, model()):
            assert main(["push", str(folder)]) == 0
        shutil.rmtree(folder)
    (collection,) = hub.collections.values()
    assert (collection["title"], collection["private"]) == ("MU-Bench", False)
    items = [(one["type"], one["id"]) for one in collection["items"]]
    assert items == [("dataset", MINI), ("model", "mu-bench/imdb-mini-bert")]
    for repository in hub.repositories.values():
        assert repository.tags == {TAG: repository.head.oid}


def test_a_tag_stays_at_the_first_push_of_its_version(hub, copy, capsys):
    assert main(["push", str(copy)]) == 0
    first = hub.dataset(MINI).head.oid
    write_readme(copy, BODY)
    assert main(["push", str(copy)]) == 0
    assert hub.dataset(MINI).tags == {TAG: first} and hub.dataset(MINI).head.oid != first
    assert f"tag {TAG} (of the earlier commit {first[:8]}), collection " in capsys.readouterr().out


def test_private_repositories_have_a_private_collection(hub, copy, model):
    assert main(["push", str(copy), "--private"]) == 0
    assert main(["push", str(model())]) == 0
    assert main(["push", str(copy)]) == 0
    held = {(one["title"], one["private"]): [item["id"] for item in one["items"]] for one in hub.collections.values()}
    assert held == {("MU-Bench (private)", True): [MINI], ("MU-Bench", False): ["mu-bench/imdb-mini-bert"]}


@pytest.mark.parametrize(
    ("request_line", "what"),
    [("/tag/", f"the tag {TAG} of {MINI}, whose files are pushed"),
     ("POST /api/collections$", f"{MINI}, whose files are pushed, in the collection MU-Bench"),
     ("/items$", f"{MINI}, whose files are pushed, in the collection MU-Bench")],
)  # fmt: skip
def test_a_token_without_the_right_to_tag_or_collect_is_one_line_and_the_files_are_pushed(
    hub, mini, capsys, request_line, what
):
    hub.faults.append(Fault(request_line, 403))
    assert main(["push", str(mini)]) == 2
    printed = capsys.readouterr().err
    line = f"mubench: expected the Hub to accept {what}, got HTTP 403 (Something went wrong): use a token with"
    assert printed.startswith(line) and printed.count("\n") == 1
    assert pushed_files(hub.dataset(MINI))
    assert main(["push", str(mini)]) == 0 and len(next(iter(hub.collections.values()))["items"]) == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["push", "nowhere"], "expected a dataset or model folder, got no folder nowhere"),
        (["push", "{mini}", "--repo", "mu-bench/mu-bench"], "expected a repository whose name ends in -mini"),
        (["push", "{mini}", "--repo", "somebody/x-mini"], "expected the Hub to accept somebody/x-mini, got HTTP 403"),
        (["verify", "imdb", "--data", "mu-bench/nowhere"], "expected README.md of mu-bench/nowhere from the Hub"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(hub, mini, capsys, words, line):
    assert main([word.format(mini=mini) for word in words]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(f"mubench: {line}") and printed.err.count("\n") == 1


def test_a_wrong_token_is_one_line_without_the_token(hub, mini, capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert main(["push", str(mini)]) == 2
    printed = capsys.readouterr().err
    assert (
        "HTTP 401" in printed and "hf auth login" in printed and "hf_wrong" not in printed and printed.count("\n") == 1
    )


def test_a_push_warns_about_a_card_without_licences(hub, copy, capsys):
    assert main(["push", str(copy)]) == 0
    advice = f"no licences and citations yet; write it with: mubench cards --data {copy}"
    assert advice in capsys.readouterr().err
    write_readme(copy, f"{BODY}\n## Licences\n")
    assert main(["push", str(copy)]) == 0
    assert "licences" not in capsys.readouterr().err
