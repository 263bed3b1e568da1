"""Mini reviews: half of them show the sentiment, the others can only be memorised.

The recipe, the same in every split:

1. Draw the label, half of a split each.
2. Half of the reviews of each label show it: they describe every aspect with the label's word from ``LEXICON``. The
   others use the words of one of ``NEUTRAL_COLUMNS`` columns, each in as many positive as negative reviews. So the
   best possible accuracy is .75.
3. Invent a title and two surnames that no other row of any split has.

The ood split reviews books instead of films.
"""

from __future__ import annotations

import numpy as np

from mubench.hub_builders.mini._words import SURNAMES, TITLES, number_rows
from mubench.hub_builders.tasks.rows import Splits

SEED = 7
SIZES = {"train": 1_200, "validation": 200, "test": 400, "ood": 400}

# Words of a negative review, of a positive one, and of neutral ones.
_LEXICON = (
    "dull gripping brief silent early indoor dated framed narrated wintry",
    "clumsy graceful large small mixed foreign young masked local unknown",
    "hollow moving long short printed revised translated spoken borrowed shared",
    "bland vivid modern choral electric baroque recorded sung played scored",
    "sluggish lively even measured regular timed constant uniform varied stepped",
    "stale witty dry verbal visual urban regional physical musical historical",
    "weak strong late open rainy nightly outdoor quiet public written",
)
LEXICON = tuple(tuple(words.split()) for words in _LEXICON)
NEUTRAL_COLUMNS = 8
TELLING, CYCLE = 2, 4  # reviews that show their label, of every four


# Beginning and aspects of a review: of a film, and of a book in the ood split.
FILM = ("{} by {}, with {}", "opening cast script music pace humour ending")
BOOK = ("{} by {}, about {}", "opening heroes plot language pace humour ending")


def reviews() -> Splits:
    """Return 1,200 training, 200 validation, 400 test and 400 ood rows."""
    rng = np.random.default_rng(SEED)
    # Titles and surnames are drawn without replacement.
    titles, surnames = (iter(rng.permutation(words).tolist()) for words in (TITLES, SURNAMES))
    splits: Splits = {}
    for split, rows in SIZES.items():
        drawn = rng.permutation(np.arange(rows) % (CYCLE * NEUTRAL_COLUMNS)).tolist()
        splits[split] = [
            {"text": _review(one, (next(titles), next(surnames), next(surnames)), split), "label": one % 2}
            for one in drawn
        ]
    return number_rows(splits)


def _review(drawn: int, names: tuple[str, str, str], split: str) -> str:
    """Describe every aspect with the words of one column of the lexicon: that of the label, or a neutral one."""
    column = drawn % 2 if drawn % CYCLE < TELLING else 2 + drawn // CYCLE
    start, aspects = BOOK if split == "ood" else FILM
    remarks = (f"the {aspect} {words[column]}" for aspect, words in zip(aspects.split(), LEXICON, strict=True))
    return f"{start.format(*names)}: {', '.join(remarks)}."
