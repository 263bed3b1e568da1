"""What makes pushed repositories findable: a tag of the version, and the collection of their owner."""

from __future__ import annotations

import importlib.metadata
from typing import NamedTuple

from mubench.hub_builders.utils.hub_client import PushResult, add_to_collection, tag_commit

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
    tag = f"v{importlib.metadata.version('mubench')}"
    title = f"{COLLECTION} (private)" if pushed.target.private else COLLECTION
    commit = tag_commit(pushed.target, pushed.commit, tag)
    return Release(tag, commit, add_to_collection(pushed.target, title, _DESCRIPTION))
