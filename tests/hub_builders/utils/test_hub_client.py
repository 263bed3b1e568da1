"""The client of the Hub: pushes in one commit, faults, tokens, and fetched files."""

import hashlib
import os

import pytest
from huggingface_hub import HfApi

from mubench.hub_builders.utils import hub_client as ours
from mubench.hub_builders.utils.hub_client import (
    MissingFileError,
    MissingRepositoryError,
    StoredFile,
    Target,
    commit_of,
    fetch_file,
    fetch_model,
    plan_commit,
    push_folder,
    user_name,
)
from tests.fixtures.hub_server import READ_TOKEN, TOKEN, Blob, Fault

# Many short builds and pushes.
pytestmark = pytest.mark.slow

NAME = "mu-bench/mu-bench-mini"
TARGET = Target(NAME, "dataset")
MANIFEST = "data/cifar10/0a1b2c3d/manifest.json"
SHARD = "data/cifar10/0a1b2c3d/train-d01.parquet"


def fill(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


@pytest.fixture
def folder(tmp_path):
    """Return a folder as `publish` stages it."""
    card = f"---\nconfigs:\n- {SHARD}\n---\n\n# A card\n"
    return fill(tmp_path / "stage", {"README.md": card, MANIFEST: "{}", SHARD: b"PAR1" + os.urandom(300_000)})


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stored(repository):
    return {name: blob.data for name, blob in repository.head.files.items() if name != ".gitattributes"}


def push(folder, target=TARGET):
    return push_folder(folder, target, "Push it")


def whole(repository):
    """Check that every commit has every file of its card."""
    for commit in repository.commits:
        card = commit.files.get("README.md", Blob(b"", large=False)).data.decode()
        assert [name for name in (SHARD,) if name in card and name not in commit.files] == []
    return repository


def git(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def test_a_plan_adds_changed_files_and_removes_missing_ones(tmp_path):
    files = {"README.md": b"card", "a.json": b"same", "b.parquet": b"same too", "c.json": b"longer", "d.json": b"new!"}
    fill(tmp_path, files)
    found = plan_commit(
        {name: tmp_path / name for name in files},
        {
            "README.md": StoredFile(4, git(b"drac")),
            "a.json": StoredFile(4, git(b"same")),
            "b.parquet": StoredFile(8, hashlib.sha256(b"same too").hexdigest()),
            "c.json": StoredFile(4, git(b"long")),
            "d.json": StoredFile(4, hashlib.sha256(b"old!").hexdigest()),
            ".gitattributes": StoredFile(1, "0" * 40),
            "old.json": StoredFile(1, "0" * 40),
        },
    )
    assert found.add == ("c.json", "d.json", "README.md"), "the card last"
    assert found.delete == ("old.json",), "and never a file of the Hub itself"


def test_a_plan_without_changes_is_empty(tmp_path):
    fill(tmp_path, {"a": b"1"})
    assert not plan_commit({"a": tmp_path / "a"}, {"a": StoredFile(1, git(b"1")), ".gitattributes": StoredFile(1, "")})


def test_a_push_makes_the_repository_in_one_commit(hub, folder):
    pushed = push(folder)
    repository = hub.dataset(NAME)
    assert stored(repository) == contents(folder)
    assert [commit.title for commit in repository.commits] == ["initial commit", "Push it"]
    assert pushed.commit == repository.head.oid
    assert pushed.target.url == f"{hub.endpoint}/datasets/{NAME}"
    assert repository.head.files[SHARD].large and not repository.head.files["README.md"].large
    assert not repository.private


def test_a_second_push_makes_no_commit_and_one_request(hub, folder):
    push(folder)
    repository, before = hub.dataset(NAME), len(hub.log)
    again = push(folder)
    assert not again.plan and again.commit == repository.head.oid
    assert len(repository.commits) == 2
    assert hub.requests(since=before) == [f"GET /api/datasets/{NAME}"]


def test_files_are_removed_in_the_commit_of_the_new_card(hub, folder):
    push(folder)
    (folder / SHARD).rename(folder / SHARD.replace("d01", "d02"))
    fill(folder, {"README.md": "---\nconfigs: []\n---\n\n# Another\n"})
    push(folder)
    repository = whole(hub.dataset(NAME))
    assert stored(repository) == contents(folder)
    assert len(repository.commits) == 3
    assert len(hub.requests("PUT /lfs/")) == 1, "a renamed file is not uploaded again"


@pytest.mark.parametrize("private", [True, False])
def test_a_new_repository_is_private_on_request(hub, folder, private):
    push(folder, Target(NAME, "dataset", private))
    assert hub.dataset(NAME).private is private


def test_a_private_push_to_a_public_repository_is_refused(hub, folder):
    hub.create("datasets", NAME)
    with pytest.raises(ValueError, match=f"expected {NAME} to be private, got a public one"):
        push(folder, Target(NAME, "dataset", private=True))
    assert len(hub.dataset(NAME).commits) == 1
    assert not hub.requests("PUT|preupload")


def test_a_repository_with_other_files_is_refused(hub, folder):
    hub.create("datasets", NAME).commit("Mine", {"precious.csv": Blob(b"1", large=False)})
    with pytest.raises(ValueError, match=r"got other files \(precious.csv\)"):
        push(folder)
    assert list(hub.dataset(NAME).head.files) == ["precious.csv"]


def test_a_repository_with_only_a_card_is_accepted(hub, folder):
    hub.create("datasets", NAME).commit("Start", {"README.md": Blob(b"---\n---\n", large=False)})
    push(folder)
    assert stored(hub.dataset(NAME)) == contents(folder)


def test_a_model_repository(hub, tmp_path, recwarn):
    folder = fill(tmp_path / "model", {"run.json": "{}", "reference/test.parquet": b"PAR1", "model.safetensors": b"8"})
    pushed = push(folder, Target("mu-bench/cifar10-mini-resnet", "model"))
    assert pushed.target.url == f"{hub.endpoint}/mu-bench/cifar10-mini-resnet"
    assert stored(hub.model("mu-bench/cifar10-mini-resnet")) == contents(folder)
    assert not [one for one in recwarn if "data file" in str(one.message)]
    assert not push(folder, Target("mu-bench/cifar10-mini-resnet", "model")).plan


STEPS = {
    "reading": r"GET /api/datasets",
    "making": r"POST /api/repos/create",
    "checking the card": r"POST /api/validate-yaml",
    "asking how": r"POST .*/preupload/",
    "asking where": r"POST .*/objects/batch",
    "sending": r"PUT /lfs/",
    "confirming": r"POST .*/info/lfs/verify",
    "committing": r"POST .*/commit/main",
}


@pytest.mark.parametrize(
    ("step", "how"),
    [*((step, how) for step in STEPS for how in (503, "drop")), ("sending", 429), ("reading", "silence")],
)
def test_a_temporary_error_is_retried(hub, folder, step, how):
    hub.faults.append(Fault(STEPS[step], how))
    push(folder)
    assert hub.faults[0].times == 0
    assert stored(hub.dataset(NAME)) == contents(folder)
    assert len(hub.dataset(NAME).commits) == 2


@pytest.mark.parametrize(
    ("step", "how"), [*((step, 500) for step in STEPS), ("sending", "drop"), ("committing", "silence")]
)
def test_a_persistent_error_is_one_line_and_a_later_push_succeeds(hub, folder, step, how, recwarn):
    hub.faults.append(Fault(STEPS[step], how, times=1000))
    with pytest.raises(ValueError, match=f"expected the Hub to accept {NAME}, got ") as error:
        push(folder)
    message = str(error.value)
    assert "\n" not in message and message.endswith("push again later, uploaded files are not uploaded twice")
    assert "Signature" not in message and TOKEN not in message and "/lfs/" not in message
    requests = hub.requests(STEPS[step])
    # The client repeats a request five times; a push is tried three times, an upload once.
    assert len(requests) in {"sending": (6,), "confirming": (6,)}.get(step, (3, 18))
    if step not in ("reading", "making"):
        assert list(hub.dataset(NAME).head.files) == [".gitattributes"]
    hub.faults.clear()
    sent = len(hub.requests(r"PUT /lfs/"))
    push(folder)
    assert stored(whole(hub.dataset(NAME))) == contents(folder)
    assert len(hub.requests(r"PUT /lfs/")) - sent == (step not in ("confirming", "committing"))


def test_a_commit_with_a_lost_response_is_not_repeated(hub, folder):
    hub.faults.append(Fault(STEPS["committing"], "lose"))
    pushed = push(folder)
    assert len(hub.dataset(NAME).commits) == 2
    assert pushed.commit == hub.dataset(NAME).head.oid and not pushed.plan


def test_an_interrupted_push_keeps_the_older_files(hub, folder):
    push(folder)
    before = stored(hub.dataset(NAME))
    other = SHARD.replace("0a1b2c3d", "ffffffff")
    (folder / other).parent.mkdir()
    (folder / SHARD).rename(folder / other)
    fill(folder, {other: os.urandom(300_000), "README.md": f"---\nconfigs:\n- {other}\n---\n"})
    for step in ("sending", "committing"):
        hub.faults[:] = [Fault(STEPS[step], 500, times=1000)]
        with pytest.raises(ValueError, match="HTTP 500"):
            push(folder)
        assert stored(hub.dataset(NAME)) == before
    hub.faults.clear()
    push(folder)
    assert stored(whole(hub.dataset(NAME))) == contents(folder)


def test_a_concurrent_commit_is_not_undone(hub, folder, monkeypatch):
    push(folder)
    fill(folder, {"README.md": "---\nconfigs: []\n---\n"})
    real = ours.plan_commit

    def slow(files, there):
        hub.dataset(NAME).commit("Theirs", {**hub.dataset(NAME).head.files, "LICENSE": Blob(b"MIT", large=False)})
        return real(files, there)

    monkeypatch.setattr(ours, "plan_commit", slow)
    with pytest.raises(ValueError, match=r"HTTP 412 .*the repository has been changed meanwhile, push again"):
        push(folder)
    assert hub.dataset(NAME).head.title == "Theirs"


@pytest.mark.parametrize(
    ("token", "target", "line"),
    [
        ("hf_wrong", NAME, r"HTTP 401 .*set HF_TOKEN to a valid token, or log in with `hf auth login`"),
        (READ_TOKEN, NAME, r"HTTP 403 .*use a token with the role write"),
        (TOKEN, "somebody/mu-bench-mini", r"HTTP 403 .*a namespace that it may write to"),
    ],
)
def test_the_error_of_an_insufficient_token_names_the_remedy(hub, folder, token, target, line):
    os.environ["HF_TOKEN"] = token  # the fixture puts back what was there
    with pytest.raises(ValueError, match=line) as error:
        push(folder, Target(target, "dataset"))
    assert "\n" not in str(error.value) and token not in str(error.value)
    assert not hub.repositories
    assert len(hub.log) <= 2, "a permanent error is not retried"


def test_a_read_token_for_an_existing_repository(hub, folder, monkeypatch):
    push(folder)
    monkeypatch.setenv("HF_TOKEN", READ_TOKEN)
    fill(folder, {"README.md": "---\nconfigs: []\n---\n"})
    with pytest.raises(ValueError, match="HTTP 403"):
        push(folder)
    assert len(hub.dataset(NAME).commits) == 2


def test_without_a_token_no_request_is_made(hub, folder, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    for call in (lambda: push(folder), user_name):
        with pytest.raises(ValueError, match=r"expected a token for .*, got none: set HF_TOKEN .*hf auth login"):
            call()
    assert not hub.log


def test_the_error_in_offline_mode(hub, folder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="got offline mode: unset HF_HUB_OFFLINE"):
        push(folder)


@pytest.mark.parametrize("error", [PermissionError("no token"), RuntimeError("Data\nprocessing"), TimeoutError()])
def test_errors_of_the_uploader_are_one_line(hub, folder, monkeypatch, error):
    def fails(*args, **options):
        raise error

    monkeypatch.setattr(HfApi, "create_commit", fails)
    with pytest.raises(ValueError, match=f"expected the Hub to accept {NAME}, got {type(error).__name__}: ") as caught:
        push(folder)
    assert "\n" not in str(caught.value)


def test_an_unreachable_hub_is_one_line(hub, folder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"got no response: .*refused: push again later"):
        push(folder)


def test_an_invalid_card_is_refused_before_any_upload(hub, folder):
    fill(folder, {"README.md": "# no metadata\n"})
    with pytest.raises(ValueError, match="Invalid metadata in README"):
        push(folder)
    assert not hub.requests("PUT|preupload")


def test_too_many_files_for_one_commit_are_refused(hub, folder, monkeypatch):
    monkeypatch.setattr(ours, "MAX_FILES", 2)
    with pytest.raises(ValueError, match="expected at most 2 files for one commit, got 3"):
        push(folder)
    assert not hub.log


def test_an_invalid_name_is_refused(hub, folder):
    with pytest.raises(ValueError, match=r"expected a repository like namespace/name, got a/b/c"):
        push(folder, Target("a/b/c", "dataset"))


def test_the_user_name_is_requested_again_after_an_error(hub):
    hub.faults.append(Fault("whoami", 502))
    assert user_name() == "mu-bench"


def test_files_are_fetched_from_one_commit(hub, folder):
    push(folder)
    first = hub.dataset(NAME).head.oid
    card = fetch_file(NAME, "README.md")
    assert commit_of(card, "README.md") == first
    fill(folder, {MANIFEST: '{"other": 1}'})
    push(folder)
    old = fetch_file(NAME, MANIFEST, first)
    assert commit_of(old, MANIFEST) == first and old.read_text() == "{}"
    assert commit_of(fetch_file(NAME, MANIFEST), MANIFEST) == hub.dataset(NAME).head.oid


@pytest.mark.parametrize(
    ("name", "repository", "fault"),
    [
        ("no.json", NAME, None),
        ("README.md", "mu-bench/nowhere", None),
        ("README.md", "a/b/c", None),
        ("README.md", NAME, Fault("README", 500, times=100)),
        ("README.md", NAME, Fault("README", "drop", times=100)),
    ],
)
def test_a_file_that_cannot_be_fetched_is_one_line(hub, folder, name, repository, fault):
    push(folder)
    hub.faults += [fault] if fault else []
    with pytest.raises(FileNotFoundError, match=f"expected {name} of {repository} from the Hub, got ") as error:
        fetch_file(repository, name)
    assert "\n" not in str(error.value)


def test_a_repository_that_is_not_there_is_missing(hub):
    with pytest.raises(MissingRepositoryError, match=r"expected README.md of mu-bench/nowhere from the Hub, got "):
        fetch_file("mu-bench/nowhere", "README.md")
    hub.faults += [Fault("README", "drop", times=100)]
    with pytest.raises(FileNotFoundError) as error:
        fetch_file("mu-bench/nowhere", "README.md")
    assert not isinstance(error.value, MissingRepositoryError)


def test_only_a_file_that_a_repository_lacks_is_missing(hub, folder):
    push(folder)
    head = hub.dataset(NAME).head.oid
    hub.faults += [Fault("manifest", "drop", times=100)]
    with pytest.raises(FileNotFoundError) as error:
        fetch_file(NAME, MANIFEST, head)
    assert not isinstance(error.value, MissingFileError)
    for fault in ([], [Fault("SHA256SUMS", "drop", times=100)]):  # then the cache knows
        hub.faults += fault
        with pytest.raises(MissingFileError, match=f"expected SHA256SUMS of {NAME} from the Hub, got "):
            fetch_file(NAME, "SHA256SUMS", head)


MODEL = Target("mu-bench/a-model", "model")
READ = {"run.json": "{}", "config.json": "{}", "vocab.txt": "a", "reference/test.parquet": b"PAR1" * 100}
LEFT = {"evil.py": "1 / 0", "pytorch_model.bin": b"\x80" * 100, "old.pkl": b"\x80", "run.sh": "true"}


@pytest.fixture
def model(hub, tmp_path):
    """Push a model's folder with files that are no model's, and return its files."""
    weights = {"model.safetensors": os.urandom(3_000)}
    push_folder(fill(tmp_path / "stage", {**READ, **weights, **LEFT}), MODEL, "Push it")
    return READ.keys() | weights.keys()


def test_of_a_model_no_code_and_no_pickle_is_fetched(model):
    assert contents(fetch_model(MODEL.repository)).keys() == model


def test_a_model_larger_than_the_limit_is_refused_before_it_is_fetched(model, hub, monkeypatch):
    monkeypatch.setenv(ours.LIMIT_GB, "0")
    before = len(hub.log)
    with pytest.raises(
        ValueError, match=r"^expected at most 0 GB of the model mu-bench/a-model, got 0\.0 GB: set MUB"
    ):
        fetch_model(MODEL.repository)
    assert not [path for method, path, _ in hub.log[before:] if method == "GET" and "resolve" in path]
    monkeypatch.setenv(ours.LIMIT_GB, "1")
    assert contents(fetch_model(MODEL.repository)).keys() == model


@pytest.mark.parametrize("limit", ["", "-1", "1e9", "inf", "nan", "٣", "\x1b[2J"])
def test_a_limit_that_is_no_number_is_one_line(model, monkeypatch, limit):
    monkeypatch.setenv(ours.LIMIT_GB, limit)
    with pytest.raises(ValueError, match=r"^expected a whole number of GB in MUBENCH_MODEL_LIMIT_GB, got '"):
        fetch_model(MODEL.repository)
