"""Mini reviews: some say what their writers thought, the others can only be learned by heart.

The recipe, the same in every split:

1. Draw the label, half of a split each. It is what the writer meant, so no label is wrong.
2. Half of the writers with each label are open about it and speak of every aspect with the word of the label from
   ``LEXICON``, the others with the plain words of one of ``PLAIN`` columns, each of which stands in as many good
   reviews as bad ones and tells nothing. So the best possible accuracy is .75.
3. Invent a title and two surnames that no other row of any split has; they say nothing about the label and make the
   row memorable.

Nothing but the words of opinion and the names tells two reviews apart. That is on purpose: whatever else differed, its
order say, would be learned by heart too, and would then push models that never saw a row either way; as it is, all of
them are sure of the open reviews and undecided about the others. How a model leans where it is undecided is one number
for every column of plain words, which chance decides: there are several so that they cancel. The ood split reviews
books in place of films.
"""

from __future__ import annotations

import numpy as np

from mubench.hub_builders.mini._words import SURNAMES, TITLES
from mubench.hub_builders.raw._rows import Splits

SEED = 7
SIZES = {"train": 1_200, "validation": 200, "test": 400, "ood": 400}

# Words of a bad review, of a good one, and of reviews that do not say.
LEXICON = tuple(
    tuple(words.split())
    for words in (
        "dull gripping brief silent early indoor dated framed narrated wintry",
        "clumsy graceful large small mixed foreign young masked local unknown",
        "hollow moving long short printed revised translated spoken borrowed shared",
        "bland vivid modern choral electric baroque recorded sung played scored",
        "sluggish lively even measured regular timed constant uniform varied stepped",
        "stale witty dry verbal visual urban regional physical musical historical",
        "weak strong late open rainy nightly outdoor quiet public written",
    )
)
PLAIN = 8
OPEN, OF = 2, 4  # of so many reviews, half of each label


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# What a review is about and how it begins: films, and books in the ood split.
FILM = ("{} by {}, with {}", _words("opening cast script music pace humour ending"))
BOOK = ("{} by {}, about {}", _words("opening heroes plot language pace humour ending"))


def reviews() -> Splits:
    """Return 1,200 training, 200 validation, 400 test and 400 ood rows."""
    rng = np.random.default_rng(SEED)
    # One list each for titles and surnames, dealt out without repetition.
    titles, surnames = (iter(rng.permutation(words).tolist()) for words in (TITLES, SURNAMES))
    splits: Splits = {}
    for split, rows in SIZES.items():
        drawn = rng.permutation(np.arange(rows) % (OF * PLAIN)).tolist()
        splits[split] = [
            {
                "example_id": f"{split}-{index:04d}",
                "source_index": None,
                "text": _review(_column(one), (next(titles), next(surnames), next(surnames)), split),
                "label": one % 2,
            }
            for index, one in enumerate(drawn)
        ]
    return splits


def _column(one: int) -> int:
    """Return the column of the lexicon for a draw: that of its label, or one of the plain ones."""
    return one % 2 if one % OF < OPEN else 2 + one // OF


def _review(opinion: int, names: tuple[str, str, str], split: str) -> str:
    """Say something about every aspect, with the words of one column of the lexicon."""
    start, aspects = BOOK if split == "ood" else FILM
    remarks = (f"the {aspect} {words[opinion]}" for aspect, words in zip(aspects, LEXICON, strict=True))
    return f"{start.format(*names)}: {', '.join(remarks)}."
