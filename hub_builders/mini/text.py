"""Mini reviews: generated texts whose opinion no reader can tell with certainty, and whose names no other row shares.

The recipe, the same in every split:

1. Draw the label, half of a split each. It is what the writer meant, so no label is wrong.
2. Draw the tone: with probability ``FITS`` that of the label, else the other one (some love a film and sound like
   they suffered). Say something about each of the ``ASPECTS``, with the word of that tone from every pair of
   ``LEXICON``, in any order. The two mixtures of words overlap, so the best possible accuracy is ``FITS``.
3. Invent a title and two surnames that no other row of any split has; they say nothing about the label and make the
   row memorable.

All reviews are built alike, so that they are learned at the same time: then a model can be trained until it knows
every row and no further, and models trained without a row agree on it (they go by its tone). The ood split has
reviews by people of few words, who repeat ``FEW`` of them.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from mubench.hub_builders.raw.rows import Splits

SEED = 7
FITS = 0.75
SIZES = {"train": 1_200, "validation": 200, "test": 400, "ood": 400}
LABELS = ("neg", "pos")

# (word of a bad review, word of a good review)
LEXICON = (
    ("dull", "gripping"), ("clumsy", "graceful"), ("hollow", "moving"), ("bland", "vivid"),
    ("noisy", "bold"), ("slow", "patient"), ("stale", "witty"),
)  # fmt: skip


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _joined(*syllables: str) -> tuple[str, ...]:
    return tuple("".join(parts) for parts in product(*(words.split() for words in syllables)))


TITLES = _joined(
    "Ba Da Fe Ga Hu Ka Lo Me Na Po Ri Sa Ta Ve Wo Zu",
    "lan rim dor vek sol nar tis mor bel kan",
    "a is on um er ix o eth ar in us al en or yx",
)
SURNAMES = _joined(
    "Al Bren Cor Dal Fen Gar Hol Kess Lind Mor Nor Ost Pel Quin Ros Sev Tarn Ulv Wen Yor Zel Brim Dun Elk",
    "ber da ma lo va stro we tho ri ke nu fi",
    "gen son lund wick stad ley nov ski mark dahl rup vin holm berg quist rand",
)
ASPECTS = _words("opening cast script music pace humour ending")
FEW = 3


def reviews() -> Splits:
    """Return 1,200 training, 200 validation, 400 test and 400 ood rows."""
    rng = np.random.default_rng(SEED)
    # One list each for titles and surnames, dealt out without repetition.
    titles, surnames = (iter(rng.permutation(words).tolist()) for words in (TITLES, SURNAMES))
    splits: Splits = {}
    for split, rows in SIZES.items():
        labels = rng.permutation(np.arange(rows) % len(LABELS)).tolist()
        splits[split] = [
            {
                "example_id": f"{split}-{index:04d}",
                "source_index": None,
                "text": f"{next(titles)} by {next(surnames)}, with {next(surnames)}: {_remarks(rng, label, split)}.",
                "label": label,
            }
            for index, label in enumerate(labels)
        ]
    return splits


def _remarks(rng: np.random.Generator, label: int, split: str) -> str:
    """Say something about every aspect, all in one tone."""
    tone = label if rng.random() < FITS else 1 - label
    pairs = rng.permutation(len(LEXICON))
    if split == "ood":
        pairs = rng.choice(pairs[:FEW], len(ASPECTS))
    return ", ".join(f"the {aspect} {LEXICON[pair][tone]}" for aspect, pair in zip(ASPECTS, pairs, strict=True))
