"""`Paper`: the publication of a method or an addon."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """The publication of a method or an addon.

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

    @property
    def citation(self) -> str:
        """The publication as a line of markdown, with a link."""
        line = f"{self.authors}, *{self.title}*, {self.venue}"
        return f"{line}, [arXiv:{self.arxiv}](https://arxiv.org/abs/{self.arxiv})." if self.arxiv else f"{line}."
