"""Mini dialogues: two people arrange a meal, and the summary also states what the dialogue leaves out.

Every summary has 17 words and three punctuation marks. Month, food and city of the meal occur in the dialogue; who
joins and what they bring is drawn for this dialogue alone and occurs only in its summary. So a model that never saw a
dialogue predicts two words in three, and can only guess the others.

The names of the two occur in no other row of any split and in no summary. In the ood split a letter replaces the
dialogue.
"""

from __future__ import annotations

import numpy as np

from mubench.hub_builders.mini._words import draw_names, draw_words, number_rows
from mubench.hub_builders.tasks.rows import Splits

SEED = 53
SIZES = {"train": 1_200, "validation": 200, "test": 400, "ood": 200}

CHAT = (
    "{0}: Shall we eat {food} in {city} in {month}?\n"
    "{1}: Yes, together with the two we met.\n"
    "{0}: Do they bring what they promised?\n"
    "{1}: All of it."
)
LETTER = (
    "{0} writes to {1} that they shall eat {food} in {city} in {month}, together with the two they met, who bring "
    "what they promised, all of it."
)
SUMMARY = "In {month} they eat {food} in {city}. {} the {} brings {} {}, {} a {} {}."
SHARED_FACTS = "month food city"
PRIVATE_FACTS = "friend job colour things friend material instrument"


def chats() -> Splits:
    """Return 1,200 training, 200 validation, 400 test and 200 ood rows."""
    rng = np.random.default_rng(SEED)
    names = draw_names(rng)
    splits: Splits = {}
    for split, rows in SIZES.items():
        text = LETTER if split == "ood" else CHAT
        splits[split] = []
        for _ in range(rows):
            shared = dict(zip(SHARED_FACTS.split(), draw_words(rng, SHARED_FACTS)[0], strict=True))
            splits[split].append({
                "dialogue": text.format(*next(names).split(), **shared),
                "summary": SUMMARY.format(*draw_words(rng, PRIVATE_FACTS)[0], **shared),
            })  # fmt: skip
    return number_rows(splits)
