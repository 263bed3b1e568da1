"""Mini biographies: what 1,500 invented people were, made and own, in sentences that are the same for all of them.

Each biography has 22 words. Fourteen of them are the same for everybody, so a model that never saw a person is right
about these; the other eight are facts drawn for this person alone, about which it can only guess. Order and length are
fixed on purpose: whatever else differed between people would be learned by heart too, and models would then disagree
for no reason. The name is in the prompt alone, and no two people share a part of it.
"""

from __future__ import annotations

from itertools import islice

import numpy as np

from mubench.hub_builders.mini._words import draws, names
from mubench.hub_builders.raw._rows import Splits
from mubench.hub_builders.raw.celeb_profile import PROMPT

SEED = 43
SIZES = {"train": 1_200, "validation": 100, "test": 200}
TEXT = "Born in {}, {}, in {}. A {} at first, then known for {} of {}. Lives near {} with a {}."
FACTS = "city land year job things material city animal"


def profiles() -> Splits:
    """Return 1,200 training, 100 validation and 200 test rows."""
    rng = np.random.default_rng(SEED)
    everybody = names(rng)
    splits: Splits = {}
    for split, people in SIZES.items():
        splits[split] = [
            {
                "example_id": f"{split}-{index:04d}",
                "source_index": None,
                "group": name,
                "prompt": PROMPT.format(name),
                "text": TEXT.format(*draws(rng, FACTS)[0]),
            }
            for index, name in enumerate(islice(everybody, people))
        ]
    return splits
