"""The one module that talks to a hub by itself: fetches single files, and pushes a folder in one commit."""

from __future__ import annotations

import hashlib
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Literal, TypeVar

import httpx2
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    get_session,
    get_token,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import logging as hub_logging

logger = logging.getLogger(__name__)

Kind = Literal["dataset", "model", "space"]
Result = TypeVar("Result")

# A push is tried three times; within one, the client itself repeats every upload request up to five times.
WAITS_S = (2.0, 8.0)
# How long a server may be silent. The client's own default is for ever.
TIMEOUT_S = 120.0
# One commit takes at most 25,000 large files.
MOST_FILES = 20_000
# A file that tells a repository of ours from others; no other that holds files is written to.
MARKS: dict[Kind, str] = {
    "dataset": "data/*/*/manifest.json",
    "model": "run.json",
    "space": "mubench/hub_builders/tasks/table.py",
}
PAGES: dict[Kind, str] = {"dataset": "datasets/", "model": "", "space": "spaces/"}
# What the Hub itself puts into a repository.
KEPT = (".gitattributes",)
EMPTY = (*KEPT, "README.md")
_PASSING = (408, 429, 500, 502, 503, 504)
_ADVICE = {
    401: "set HF_TOKEN to a token that the Hub knows, or log in with `hf auth login`",
    403: "use a token with the role write, and a namespace that it may write to (--repo NAMESPACE/NAME)",
    404: "check the name, and that the token may see it",
    409: "somebody else changed the repository meanwhile, push again",
    412: "somebody else changed the repository meanwhile, push again",
    413: "a file is larger than the Hub takes",
}
_LATER = "push again later, what has been uploaded is not uploaded twice"
_ERRORS = (HfHubHTTPError, httpx2.TransportError, json.JSONDecodeError)


@dataclass(frozen=True)
class Target:
    """The repository to push to: ``namespace/name``, which is made if it is not there, private if that is wanted."""

    repository: str
    kind: Kind
    private: bool = False

    @property
    def url(self) -> str:
        """Where people see it."""
        return f"{constants.ENDPOINT}/{PAGES[self.kind]}{self.repository}"


@dataclass(frozen=True)
class Stored:
    """A file of a repository: its size, and its sha256 (a large file) or git's sha1 (any other)."""

    size: int
    digest: str


@dataclass(frozen=True)
class Plan:
    """What one commit does: which files it writes, the card last, and which it removes."""

    add: tuple[str, ...]
    delete: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.add or self.delete)


@dataclass(frozen=True)
class Pushed:
    """The newest commit after a push; a plan that does nothing means that the push made none."""

    target: Target
    commit: str
    plan: Plan


def fetch_file(repository: str, name: str, revision: str | None = None) -> Path:
    """Return a file of a dataset repository, from the cache if it is there.

    Raises:
        FileNotFoundError: If it cannot be had; the message says why, in one line.
    """
    with _fetching(f"{name} of {repository}"):
        return Path(hf_hub_download(repository, name, repo_type="dataset", revision=revision))


def fetch_model(repository: str) -> Path:
    """Return the folder of a model repository, all of it of one commit, from the cache if it is there.

    Raises:
        FileNotFoundError: If it cannot be had; the message says why, in one line.
    """
    with _fetching(f"the model {repository}"):
        return Path(snapshot_download(repository))


@contextmanager
def _fetching(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, HFValidationError, httpx2.HTTPError) as error:
        why = _reason(error.__cause__ if isinstance(error.__cause__, Exception) else error)
        raise FileNotFoundError(f"expected {what} from the Hub, got {why}") from error


def commit_of(path: Path, name: str) -> str:
    """Return the commit that a fetched file belongs to, so that others are fetched from the same one."""
    return path.parents[len(PurePosixPath(name).parts) - 1].name


def user_name() -> str:
    """Return who the token belongs to.

    Raises:
        ValueError: If there is no token, or the Hub does not answer for it.
    """
    with _explained("the Hub"):
        return str(_patiently(lambda: HfApi().whoami())["name"])


def push_folder(folder: Path, target: Target, message: str) -> Pushed:
    """Make a repository hold what a folder holds, in one commit, or in none if it does already.

    Large files are uploaded first, where nobody sees them; the commit then shows all files and the card at once, and
    removes what the folder does not have. So the card never names a file that is not there, and a push that was
    interrupted is repeated: what has arrived is not sent again. (``HfApi.upload_folder`` may make several commits.)

    Raises:
        ValueError: If the Hub refuses or does not answer, or the repository is somebody's else or public against
            what is wanted; one line that says what to do.
    """
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    if len(files) > MOST_FILES:
        raise ValueError(f"expected at most {MOST_FILES} files for one commit, got {len(files)} in {folder}")
    with _explained(target.repository):
        return _patiently(lambda: _attempt(files, target, message))


def plan(files: Mapping[str, Path], stored: Mapping[str, Stored]) -> Plan:
    """Return what makes a repository with ``stored`` files hold ``files``; equal ones are left alone."""
    changed = [name for name, path in files.items() if name not in stored or not _is_same(path, stored[name])]
    return Plan(
        add=tuple(sorted(changed, key=lambda name: (name == "README.md", name))),
        delete=tuple(sorted(stored.keys() - files.keys() - set(KEPT))),
    )


def _attempt(files: Mapping[str, Path], target: Target, message: str) -> Pushed:
    """Read what is there, and commit what differs; after a commit whose answer was lost, that is nothing."""
    api = HfApi()
    head, stored = _opened(api, target)
    todo = plan(files, stored)
    if todo:
        with warnings.catch_warnings():
            # Reference outputs belong to their model.
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
    return Pushed(target, head, todo)


def _opened(api: HfApi, target: Target) -> tuple[str, dict[str, Stored]]:
    """Return the newest commit of a repository and its files; a repository that is not there is made."""
    name, kind = target.repository, target.kind
    try:
        info = api.repo_info(name, repo_type=kind, files_metadata=True, timeout=TIMEOUT_S)
    except RepositoryNotFoundError:
        api.create_repo(name, repo_type=kind, private=target.private, space_sdk="gradio" if kind == "space" else None)
        info = api.repo_info(name, repo_type=kind, files_metadata=True, timeout=TIMEOUT_S)
    if target.private and not info.private:
        raise ValueError(f"expected {name} to be private, got a public one: make it private on the Hub first")
    stored = {
        file.rfilename: Stored(file.size or 0, file.lfs.sha256 if file.lfs else file.blob_id or "")
        for file in getattr(info, "siblings", None) or ()
    }
    theirs = sorted(stored.keys() - set(EMPTY))
    if theirs and not any(fnmatch(file, MARKS[kind]) for file in theirs):
        raise ValueError(
            f"expected {name} to be empty or pushed from here before, got other files there "
            f"({', '.join(theirs[:3])}): choose another with --repo NAMESPACE/NAME"
        )
    return str(info.sha), stored


def _is_same(path: Path, stored: Stored) -> bool:
    if path.stat().st_size != stored.size:
        return False
    if len(stored.digest) == 40:
        data = path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == stored.digest
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == stored.digest


def _patiently(call: Callable[[], Result]) -> Result:
    """Do something with the Hub, again after a while where it failed for a reason that passes."""
    for wait in WAITS_S:
        try:
            return _bounded(call)
        except _ERRORS as error:
            if not _passes(error):
                raise
            logger.warning("the Hub: %s; trying again in %g s", _reason(error), wait)
            time.sleep(wait)
    return _bounded(call)


def _bounded(call: Callable[[], Result]) -> Result:
    """Do something with a client that does not wait for ever; a connection that broke leaves a new one."""
    get_session().timeout = TIMEOUT_S
    return call()


def _passes(error: Exception) -> bool:
    return not isinstance(error, HfHubHTTPError) or error.response.status_code in _PASSING


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn what goes wrong with the Hub into one line that says what to do."""
    if get_token() is None:
        raise ValueError(f"expected a token for {constants.ENDPOINT}, got none: {_ADVICE[401]}")
    # The client's warnings name addresses that let others upload for a while.
    verbosity = hub_logging.get_verbosity()
    hub_logging.set_verbosity_error()
    try:
        yield
    except HFValidationError as error:
        raise ValueError(f"expected a repository like namespace/name, got {what} ({_reason(error)})") from error
    except OfflineModeIsEnabled as error:
        raise ValueError("expected a connection to the Hub, got offline mode: unset HF_HUB_OFFLINE") from error
    except (*_ERRORS, RuntimeError, OSError) as error:  # the last two also come from the uploader of large files
        raise ValueError(f"expected the Hub to take {what}, got {_reason(error)}: {_advice(error)}") from error
    finally:
        hub_logging.set_verbosity(verbosity)


def _advice(error: Exception) -> str:
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status is None or status in _PASSING:
        return _LATER
    return _ADVICE.get(status, "correct what it complains about, and push again")


def _reason(error: Exception) -> str:
    """Return in one line what went wrong: no address, which may carry a signature."""
    if isinstance(error, HfHubHTTPError):
        said = (error.server_message or "").strip().splitlines()
        return f"HTTP {error.response.status_code}{f' ({said[0][:200]})' if said else ''}"
    if isinstance(error, json.JSONDecodeError):
        return "an answer that is no JSON"
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
        return f"{_first_line(error)} {_reason(error.__cause__)}"
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:200]
