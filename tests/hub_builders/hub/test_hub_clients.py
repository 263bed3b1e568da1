"""Unmodified clients, each in its own process, that load what was pushed to a Hub on the loopback."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task
from mubench.hub_builders.hub.model_folder import read_run
from mubench.hub_builders.hub.push import publish
from mubench.hub_builders.utils.hub_client import commit_of
from tests.fixtures.hub_server import Fault
from tests.fixtures.walk import files

pytestmark = pytest.mark.slow  # seconds of imports a process

MINI = "mu-bench/mu-bench-mini"
MODEL = "mu-bench/cifar10-mini-resnet"
DATASETS = """
from datasets import get_dataset_config_names, load_dataset
from huggingface_hub import HfApi, snapshot_download
from mubench.hub_builders.dataset.load import load_task

repository = "mu-bench/mu-bench-mini"
mark("load")
pair = load_dataset(repository, "imdb_del5")
found["load"] = {split: rows["example_id"][:] for split, rows in pair.items()}
found["labels"] = pair["test"].features["label"].names
mark("stream")
stream = load_dataset(repository, "imdb_del5", split="forget", streaming=True)
found["stream"] = [row["example_id"] for row in stream]
mark("tag")
found["tag"] = load_dataset(repository, "imdb", revision="v1")["test"]["text"][0]
found["main"] = load_dataset(repository, "imdb")["test"]["text"][0]
mark("task")
found["task"] = load_task("imdb", 5, data=repository).num_rows
mark("rest")
found["configs"] = get_dataset_config_names(repository)
found["tags"] = [tag.name for tag in HfApi().list_repo_refs(repository, repo_type="dataset").tags]
found["snapshot"] = snapshot_download(repository, repo_type="dataset", local_dir="snapshot")
print(json.dumps(found))
"""
OFFLINE = """
from datasets import load_dataset
from mubench.hub_builders.dataset.load import load_task

found["load"] = load_dataset("mu-bench/mu-bench-mini", "imdb_del5").num_rows
found["task"] = load_task("imdb", 5, data="mu-bench/mu-bench-mini").num_rows
print(json.dumps(found))
"""
MODELS = """
import torch
from huggingface_hub import ModelCard
from transformers import AutoImageProcessor, AutoModelForImageClassification

from mubench.hub_builders.utils.hub_client import fetch_model
from mubench.hub_builders.hub.model_folder import read_run

for name in sys.argv[1:]:
    model = AutoModelForImageClassification.from_pretrained(name).eval()
    processor = AutoImageProcessor.from_pretrained(name, backend="pil")
    with torch.no_grad():
        found[name] = model(torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)).logits.tolist()
    assert processor.size
found["base_model"] = ModelCard.load(sys.argv[2]).data.base_model
found["identity"] = read_run(fetch_model(sys.argv[1])).identity
print(json.dumps(found))
"""


def between(hub, first, last):
    """Return the files that were requested between two marks."""
    paths = [path for _, path, _ in hub.log]
    return [path for path in paths[paths.index(f"/mark/{first}") : paths.index(f"/mark/{last}")] if "resolve" in path]


def test_clients_load_the_pushed_rows(hub, small, tmp_path, run_client):
    build("cifar10", out=tmp_path)
    publish(build("imdb", out=tmp_path))
    repository = hub.dataset(MINI)
    repository.tags["v1"] = repository.head.oid
    small("new")
    folder = build("imdb", out=tmp_path)
    publish(folder)
    local = load_task("imdb", 5, data=folder)

    found = run_client(DATASETS)
    assert found["load"] == {split: rows["example_id"][:] for split, rows in local.items()}
    assert found["labels"] == ["neg", "pos"]
    assert found["stream"] == local["forget"]["example_id"][:]
    assert found["tag"].split()[0] == "old" and found["main"].split()[0] == "new"
    assert found["task"] == local.num_rows
    assert len(found["configs"]) == 22 and found["tags"] == ["v1"]
    there = {name: blob.data for name, blob in repository.head.files.items()}
    got = {name: data for name, data in files(Path(found["snapshot"])).items() if not name.startswith(".cache")}
    assert got == there

    loaded = between(hub, "load", "stream")
    assert {path.split("/data/")[1].split("/")[0] for path in loaded if "/data/" in path} == {"imdb"}
    assert not [path for path in between(hub, "stream", "tag") if "/data/" in path and "/train-d0" not in path]
    pinned = between(hub, "task", "rest")
    assert {path.split("/resolve/")[1].split("/")[0] for path in pinned} <= {"main", repository.head.oid}
    assert [path for path in pinned if "/main/" in path] == [f"/datasets/{MINI}/resolve/main/README.md"]

    logged = len(hub.log)
    offline = run_client(OFFLINE, HF_HUB_OFFLINE="1")
    assert offline == {"load": dict(local.num_rows), "task": dict(local.num_rows)}
    assert len(hub.log) == logged


@pytest.mark.nightly
def test_clients_load_a_pushed_model(hub, walked, run_client):
    import torch  # noqa: PLC0415  the other tests of this file need none of it
    from transformers import AutoModelForImageClassification  # noqa: PLC0415

    base, unlearned = walked.base(), walked.models / "cifar10-mini-resnet-del10-neg-grad-s0"
    card = "---\nbase_model: cifar10-mini-resnet\nlibrary_name: transformers\n---\n\n# A model\n"
    pushed = []
    for folder in (base, unlearned):
        own = shutil.copytree(folder, walked.root / "pushed" / folder.name)
        (own / "README.md").write_text(card)
        pushed.append(publish(own).target.repository)
        assert not publish(own).plan
    assert pushed == [MODEL, f"{MODEL}-del10-neg-grad-s0"]
    found = run_client(MODELS, *pushed)
    for name, folder in zip(pushed, (base, unlearned), strict=True):
        model = AutoModelForImageClassification.from_pretrained(folder).eval()
        with torch.no_grad():
            logits = model(torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)).logits
        assert found[name] == [pytest.approx(logits[0].tolist(), abs=1e-5)]
    assert found[pushed[0]] != found[pushed[1]]
    assert found["base_model"] == MODEL
    assert found["identity"] == read_run(base).identity


def finished(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def test_the_push_command_in_a_real_process(hub, mini, client):
    push = ("-m", "mubench.hub_builders", "push", mini)
    code, out, err = finished(client(*push))
    assert code == 0, err
    assert out.startswith(f"{hub.endpoint}/datasets/{MINI}: ") and " files written, 0 removed\ntag v" in out
    commits = len(hub.dataset(MINI).commits)
    assert finished(client(*push))[1].startswith(f"{hub.endpoint}/datasets/{MINI}: nothing to change\ntag v")
    assert len(hub.dataset(MINI).commits) == commits == 2
    code, out, err = finished(client(*push, HF_TOKEN="hf_wrong"))
    assert (code, out) == (2, "") and err.count("\n") == 1 and "HTTP 401" in err and "hf_wrong" not in err


@pytest.mark.nightly
def test_a_killed_push_leaves_the_old_files_and_is_repeated(hub, small, tmp_path, client):
    publish(build("imdb", out=tmp_path))
    repository = hub.dataset(MINI)
    before = repository.head
    small("new")
    folder = build("imdb", out=tmp_path)
    hub.faults += [Fault("PUT /lfs/", "silence", times=1)]
    process = client("-m", "mubench.hub_builders", "push", folder)
    until = time.monotonic() + 120
    while hub.faults[0].times and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(1)  # the other uploads go on meanwhile
    os.kill(process.pid, signal.SIGKILL)
    assert finished(process)[0] == -signal.SIGKILL
    assert repository.head is before
    sent = len(hub.requests("PUT /lfs/"))
    code, _, err = finished(client("-m", "mubench.hub_builders", "push", folder))
    assert code == 0, err
    shards = len([name for name in repository.head.files if name.endswith(".parquet")])
    assert len(hub.requests("PUT /lfs/")) - sent < shards, "uploaded files are not sent again"
    assert (
        files(folder).items()
        >= {name: blob.data for name, blob in repository.head.files.items() if name.startswith("data/")}.items()
    )
    assert commit_of(Path("x") / repository.head.oid / "README.md", "README.md") == repository.head.oid
