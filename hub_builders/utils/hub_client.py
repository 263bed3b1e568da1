"""Client of the Hub: fetches single files and models, and pushes a folder in one commit."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, TypeVar

import httpx2
from huggingface_hub import (
    _CACHED_NO_EXIST,
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    get_session,
    get_token,
    hf_hub_download,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    DryRunError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import logging as hub_logging

from mubench.hub_builders.utils.text import quote

logger = logging.getLogger(__name__)

RepositoryKind = Literal["dataset", "model", "space"]
Result = TypeVar("Result")

# A push is tried three times; in each, the client repeats every upload request up to five times.
WAITS_S = (2.0, 8.0)
# Timeout of a response; the default of the client is none.
TIMEOUT_S = 120.0
# One commit takes at most 25,000 large files.
MAX_FILES = 20_000
# A file by which our repositories are recognised; others that hold files are never written to.
MARKER_FILES: dict[RepositoryKind, str] = {
    "dataset": "data/*/*/manifest.json",
    "model": "run.json",
    "space": "mubench/hub_builders/tasks/table.py",
}
PAGES: dict[RepositoryKind, str] = {"dataset": "datasets/", "model": "", "space": "spaces/"}
# Files that the Hub itself creates.
HUB_FILES = (".gitattributes",)
EMPTY_REPOSITORY_FILES = (*HUB_FILES, "README.md")
# Files of a model that are pushed and fetched: settings, tokenizers, weights and outputs; no code and no pickles.
MODEL_FILES = (".json", ".md", ".txt", ".model", ".jinja", ".safetensors", ".parquet")
# The largest published backbone, of 11 billion parameters, has 45 GB.
MODEL_LIMIT_GB = 64
LIMIT_GB = "MUBENCH_MODEL_LIMIT_GB"
_TEMPORARY = (None, 408, 429, 500, 502, 503, 504)  # None: no response
_ADVICE: dict[int | None, str] = {
    **dict.fromkeys(_TEMPORARY, "push again later, uploaded files are not uploaded twice"),
    401: "set HF_TOKEN to a valid token, or log in with `hf auth login`",
    403: "use a token with the role write, and a namespace that it may write to (--repo NAMESPACE/NAME)",
    404: "check the name, and that the token may see it",
    409: "the repository has been changed meanwhile, push again",
    412: "the repository has been changed meanwhile, push again",
    413: "a file exceeds the size limit of the Hub",
}
_ERRORS = (HfHubHTTPError, httpx2.TransportError, json.JSONDecodeError)


@dataclass(frozen=True)
class Target:
    """The repository to push to, ``namespace/name``; it is created if it does not exist, private on request."""

    repository: str
    kind: RepositoryKind
    private: bool = False

    @property
    def url(self) -> str:
        """Its page."""
        return f"{constants.ENDPOINT}/{PAGES[self.kind]}{self.repository}"


class StoredFile(NamedTuple):
    """A file of a repository: its size, and its SHA-256 (large files) or git's SHA-1 (others)."""

    size: int
    digest: str


@dataclass(frozen=True)
class CommitPlan:
    """Files that one commit writes, the card last, and files that it removes."""

    add: tuple[str, ...]
    delete: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.add or self.delete)


class PushResult(NamedTuple):
    """The newest commit after a push; with an empty plan the push made none."""

    target: Target
    commit: str
    plan: CommitPlan


class MissingFileError(FileNotFoundError):
    """A repository has no such file, as it says or has said of the same commit."""


class MissingRepositoryError(FileNotFoundError):
    """There is no such repository, or none that the token may see."""


def file_cache() -> Path:
    """Return the folder of all files that were fetched from the Hub."""
    return Path(constants.HF_HUB_CACHE)


def fetch_file(repository: str, name: str, revision: str | None = None) -> Path:
    """Return a file of a dataset repository, from the cache if possible.

    Raises:
        MissingFileError: If the repository has no such file.
        MissingRepositoryError: If there is no such repository.
        FileNotFoundError: If it cannot be fetched; the message says why, in one line.
    """
    at: dict[str, Any] = {"repo_type": "dataset", "revision": revision}
    try:
        with _fetch_errors(f"{name} of {repository}"):
            return Path(hf_hub_download(repository, name, **at))
    except FileNotFoundError as error:
        known = revision is not None and try_to_load_from_cache(repository, name, **at) is _CACHED_NO_EXIST
        if known or isinstance(error.__cause__, RemoteEntryNotFoundError):
            raise MissingFileError(str(error)) from error
        cause = error.__cause__
        if isinstance(cause, RepositoryNotFoundError) and not isinstance(cause, GatedRepoError):
            raise MissingRepositoryError(str(error)) from error
        raise


def fetch_model(repository: str) -> Path:
    """Return the folder of a model repository at one commit, from the cache if possible: `MODEL_FILES`, and no others.

    Raises:
        FileNotFoundError: If it cannot be fetched; the message says why, in one line.
        ValueError: If its files are larger than the limit; nothing is then downloaded.
    """
    with _fetch_errors(f"the model {repository}"):
        at: dict[str, Any] = {
            "revision": HfApi().resolve_revision(repository),
            "allow_patterns": [f"*{end}" for end in MODEL_FILES],
        }
        try:
            listed = snapshot_download(repository, **at, dry_run=True)
        except DryRunError:  # the Hub cannot be reached, so that only the cache is read
            listed = []
        _check_size(repository, sum(file.file_size or 0 for file in listed) / 1e9)
        return Path(snapshot_download(repository, **at))


def _check_size(repository: str, size_gb: float) -> None:
    text = os.environ.get(LIMIT_GB, str(MODEL_LIMIT_GB))
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"expected a whole number of GB in {LIMIT_GB}, got {quote(text)}")
    if size_gb > int(text):
        raise ValueError(
            f"expected at most {text} GB of the model {repository}, got {size_gb:.1f} GB: set {LIMIT_GB} to allow more"
        )


@contextmanager
def _fetch_errors(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, HFValidationError, httpx2.HTTPError) as error:
        why = _reason(error.__cause__ if isinstance(error.__cause__, Exception) else error)
        raise FileNotFoundError(f"expected {what} from the Hub, got {why}") from error


def commit_of(path: Path, name: str) -> str:
    """Return the commit of a fetched file, so that others can be fetched from the same one."""
    return path.parents[len(PurePosixPath(name).parts) - 1].name


def user_name() -> str:
    """Return the name of the token's owner.

    Raises:
        ValueError: If there is no valid token, or the Hub does not respond.
    """
    with _push_errors("the Hub"):
        return str(_retry(lambda: HfApi().whoami())["name"])


def push_folder(folder: Path, target: Target, message: str) -> PushResult:
    """Make the files of a repository equal to those of a folder, in at most one commit.

    Large files are uploaded first and are not visible; the commit then adds all files and the card at once, and
    removes files that the folder lacks. So the card never refers to a missing file, and an interrupted push can be
    repeated without sending files again. (``HfApi.upload_folder`` may make several commits.)

    Raises:
        ValueError: If the Hub refuses or does not respond, or the repository holds other files or is public although
            a private one is requested; one line that says what to do.
    """
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    if len(files) > MAX_FILES:
        raise ValueError(f"expected at most {MAX_FILES} files for one commit, got {len(files)} in {folder}")
    with _push_errors(target.repository):
        return _retry(lambda: _push_once(files, target, message))


def tag_commit(target: Target, commit: str, tag: str) -> str:
    """Tag a commit, unless another one has the tag, and return the commit that has it.

    Raises:
        ValueError: If the Hub refuses or does not respond; one line that says what to do.
    """

    def tag_once() -> str:
        api = HfApi()
        api.create_tag(target.repository, tag=tag, revision=commit, repo_type=target.kind, exist_ok=True)
        tags = api.list_repo_refs(target.repository, repo_type=target.kind).tags
        return next(one.target_commit for one in tags if one.name == tag)

    with _push_errors(f"the tag {tag} of {target.repository}, whose files are pushed"):
        return _retry(tag_once)


def add_to_collection(target: Target, title: str, description: str) -> str:
    """Add a repository to a collection of its owner, and return the collection's page.

    The collection is created if it does not exist, private for a private repository. Errors as of `tag_commit`.
    """

    def add_once() -> str:
        api, owner = HfApi(), target.repository.partition("/")[0]
        about: dict[str, Any] = {"namespace": owner, "description": description, "private": target.private}
        found = api.create_collection(title, **about, exists_ok=True)
        api.add_collection_item(found.slug, target.repository, target.kind, exists_ok=True)
        return found.url

    with _push_errors(f"{target.repository}, whose files are pushed, in the collection {title}"):
        return _retry(add_once)


def plan_commit(files: Mapping[str, Path], stored: Mapping[str, StoredFile]) -> CommitPlan:
    """Return the changes that turn a repository with ``stored`` files into ``files``; equal files are kept."""
    changed = [name for name, path in files.items() if name not in stored or not _is_same(path, stored[name])]
    return CommitPlan(
        add=tuple(sorted(changed, key=lambda name: (name == "README.md", name))),
        delete=tuple(sorted(stored.keys() - files.keys() - set(HUB_FILES))),
    )


def _push_once(files: Mapping[str, Path], target: Target, message: str) -> PushResult:
    """Read the repository and commit the differences; after a commit whose response was lost, there are none."""
    api = HfApi()
    head, stored, private = _open_repository(api, target)
    todo = plan_commit(files, stored)
    if todo:
        with warnings.catch_warnings():
            # Reference outputs are meant to be in the repository of their model.
            warnings.filterwarnings("ignore", "It seems that you are about to commit a data file")
            head = api.create_commit(
                target.repository,
                [
                    *(CommitOperationAdd(name, str(files[name])) for name in todo.add),
                    *(CommitOperationDelete(name, is_folder=False) for name in todo.delete),
                ],
                commit_message=message,
                repo_type=target.kind,
                parent_commit=head,
            ).oid
    return PushResult(replace(target, private=private), head, todo)


def _open_repository(api: HfApi, target: Target) -> tuple[str, dict[str, StoredFile], bool]:
    """Return a repository's newest commit, its files and whether it is private; a missing repository is created."""
    name, kind = target.repository, target.kind
    try:
        info = api.repo_info(name, repo_type=kind, files_metadata=True, timeout=TIMEOUT_S)
    except RepositoryNotFoundError:
        api.create_repo(name, repo_type=kind, private=target.private, space_sdk="gradio" if kind == "space" else None)
        info = api.repo_info(name, repo_type=kind, files_metadata=True, timeout=TIMEOUT_S)
    if target.private and not info.private:
        raise ValueError(f"expected {name} to be private, got a public one: make it private on the Hub first")
    stored = {
        file.rfilename: StoredFile(file.size or 0, file.lfs.sha256 if file.lfs else file.blob_id or "")
        for file in getattr(info, "siblings", None) or ()
    }
    theirs = sorted(stored.keys() - set(EMPTY_REPOSITORY_FILES))
    if theirs and not any(fnmatch(file, MARKER_FILES[kind]) for file in theirs):
        raise ValueError(
            f"expected {name} to be empty or an earlier push of ours, got other files "
            f"({', '.join(theirs[:3])}): choose another with --repo NAMESPACE/NAME"
        )
    return str(info.sha), stored, bool(info.private)


def _is_same(path: Path, stored: StoredFile) -> bool:
    if path.stat().st_size != stored.size:
        return False
    if len(stored.digest) == 40:
        data = path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == stored.digest
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == stored.digest


def _retry(call: Callable[[], Result], waits: Sequence[float] | None = None) -> Result:
    """Call a function of the Hub, and repeat it after temporary errors, by default after `WAITS_S`."""
    waits = WAITS_S if waits is None else waits
    get_session().timeout = TIMEOUT_S  # anew each time, as an error replaces the session
    try:
        return call()
    except _ERRORS as error:
        if not waits or _status(error) not in _TEMPORARY:
            raise
        logger.warning("the Hub: %s; retrying in %g s", _reason(error), waits[0])
    time.sleep(waits[0])
    return _retry(call, waits[1:])


@contextmanager
def _push_errors(what: str) -> Iterator[None]:
    """Turn errors of the Hub into one line that says what to do."""
    if get_token() is None:
        raise ValueError(f"expected a token for {constants.ENDPOINT}, got none: {_ADVICE[401]}")
    # The client's warnings contain signed URLs that allow uploads.
    verbosity = hub_logging.get_verbosity()
    hub_logging.set_verbosity_error()
    try:
        yield
    except HFValidationError as error:
        raise ValueError(f"expected a repository like namespace/name, got {what} ({_reason(error)})") from error
    except OfflineModeIsEnabled as error:
        raise ValueError("expected a connection to the Hub, got offline mode: unset HF_HUB_OFFLINE") from error
    except (*_ERRORS, RuntimeError, OSError) as error:  # the uploader of large files also raises the last two
        advice = _ADVICE.get(_status(error), "correct the cause, and push again")
        raise ValueError(f"expected the Hub to accept {what}, got {_reason(error)}: {advice}") from error
    finally:
        hub_logging.set_verbosity(verbosity)


def _status(error: Exception) -> int | None:
    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


def _reason(error: Exception) -> str:
    """Return the cause in one line, without URLs, which may be signed."""
    if isinstance(error, HfHubHTTPError):
        lines = (error.server_message or "").strip().splitlines()
        return f"HTTP {error.response.status_code}{f' ({lines[0][:200]})' if lines else ''}"
    if isinstance(error, json.JSONDecodeError):
        return "a response that is not JSON"
    if isinstance(error, OfflineModeIsEnabled):
        return "no network: HF_HUB_OFFLINE is set in the environment"
    first = (str(error).strip().splitlines() or ["no reason given"])[0][:200]
    if isinstance(error, httpx2.TransportError):
        return f"no response: {first}"
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
        return f"{first} {_reason(error.__cause__)}"
    return f"{type(error).__name__}: {first}"
