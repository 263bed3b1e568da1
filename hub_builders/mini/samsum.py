"""Mini dialogues: two people arrange a meal, and the summary knows what they do not say.

Every summary has 17 words and three marks. When, what and where they will eat is said in the dialogue; who comes along
and brings what was agreed before, is drawn for this dialogue alone, and stands in its summary only. So a model that
never saw a dialogue is right about two words in three, and about the others it can only guess.

The names of the two occur in no other row of any split and in no summary; they make the row memorable. Order and
length are fixed on purpose: whatever else differed would be learned by heart too, and models that never saw a row
would then disagree about it for no reason. In the ood split a letter takes the place of the dialogue.
"""

from __future__ import annotations

import numpy as np

from mubench.hub_builders.mini._words import SURNAMES, TITLES, draws
from mubench.hub_builders.raw._rows import Splits

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
SAID = "month food city"
AGREED = "friend job colour things friend material instrument"


def chats() -> Splits:
    """Return 1,200 training, 200 validation, 400 test and 200 ood rows."""
    rng = np.random.default_rng(SEED)
    # One list each for the two, dealt out without repetition.
    names = zip(*(rng.permutation(words).tolist() for words in (TITLES, SURNAMES)), strict=False)
    splits: Splits = {}
    for split, rows in SIZES.items():
        text = LETTER if split == "ood" else CHAT
        splits[split] = []
        for index in range(rows):
            said = dict(zip(SAID.split(), draws(rng, SAID)[0], strict=True))
            splits[split].append({
                "example_id": f"{split}-{index:04d}",
                "source_index": None,
                "dialogue": text.format(*next(names), **said),
                "summary": SUMMARY.format(*draws(rng, AGREED)[0], **said),
            })  # fmt: skip
    return splits
