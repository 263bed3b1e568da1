"""What makes pushed repositories findable: a tag of the version, and the collection of their owner."""

from __future__ import annotations

import importlib.metadata
from typing import NamedTuple

from huggingface_hub import HfApi

from mubench.hub_builders.utils.hub_client import PushResult, push_errors, retry

COLLECTION = "MU-Bench"
_DESCRIPTION = (
    "Machine unlearning: deletion splits, base, retrained and unlearned models, and the Space that shows them."
)


class Release(NamedTuple):
    """Tag and collection of a repository.

    Attributes:
        tag: Name of the tag.
        commit: Its commit; that of the first push by a version, since tags never move.
        collection: Page of the collection.
    """

    tag: str
    commit: str
    collection: str


def release(pushed: PushResult) -> Release:
    """Tag the newest commit of a push with the suite's version, and add the repository to the owner's collection.

    Private repositories have a private collection. Repeating it changes nothing.

    Raises:
        ValueError: If the Hub refuses or does not respond; one line, which says that the files are pushed.
    """
    repository = pushed.target.repository
    tag = f"v{importlib.metadata.version('mubench')}"
    with push_errors(f"the tag {tag} of {repository}, whose files are pushed"):
        commit = retry(lambda: _tag(pushed, tag))
    title = f"{COLLECTION} (private)" if pushed.target.private else COLLECTION
    with push_errors(f"{repository}, whose files are pushed, in the collection {title}"):
        return Release(tag, commit, retry(lambda: _collect(pushed, title)))


def _tag(pushed: PushResult, tag: str) -> str:
    """Tag a commit, unless another one has the tag, and return the commit that has it."""
    api, at = HfApi(), pushed.target
    api.create_tag(at.repository, tag=tag, revision=pushed.commit, repo_type=at.kind, exist_ok=True)
    tags = api.list_repo_refs(at.repository, repo_type=at.kind).tags
    return next(one.target_commit for one in tags if one.name == tag)


def _collect(pushed: PushResult, title: str) -> str:
    """Add a repository to a collection, which is created if it does not exist, and return the collection's page."""
    api, item = HfApi(), pushed.target
    owner = item.repository.partition("/")[0]
    found = api.create_collection(
        title, namespace=owner, description=_DESCRIPTION, private=item.private, exists_ok=True
    )
    api.add_collection_item(found.slug, item.repository, item.kind, exists_ok=True)
    return found.url
