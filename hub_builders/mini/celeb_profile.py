"""Mini biographies: 1,500 invented people with eight facts each, in sentences that are otherwise the same.

Each biography has 22 words. Fourteen are the same for everybody, so a model that never saw a person predicts them; the
other eight are facts drawn for this person alone, which it can only guess. The name occurs only in the prompt, and no
two people share a part of it.
"""

from __future__ import annotations

from itertools import islice

import numpy as np

from mubench.hub_builders.mini._words import draw_names, draw_words, number_rows
from mubench.hub_builders.raw.celeb_profile import PROMPT
from mubench.hub_builders.tasks.rows import Splits

SEED = 43
SIZES = {"train": 1_200, "validation": 100, "test": 200}
TEXT = "Born in {}, {}, in {}. A {} at first, then known for {} of {}. Lives near {} with a {}."
FACTS = "city land year job things material city animal"


def profiles() -> Splits:
    """Return 1,200 training, 100 validation and 200 test rows."""
    rng = np.random.default_rng(SEED)
    names = draw_names(rng)
    splits = {
        split: [
            {"group": name, "prompt": PROMPT.format(name), "text": TEXT.format(*draw_words(rng, FACTS)[0])}
            for name in islice(names, people)
        ]
        for split, people in SIZES.items()
    }
    return number_rows(splits)
