"""`Paper`: where a method or a addon comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """Where a method or a addon comes from.

    Attributes:
        title: Title of the paper.
        venue: Venue and year.
        arxiv: arXiv identifier, or ``None``.
        authors: First author and others.
    """

    title: str
    venue: str
    arxiv: str | None
    authors: str
