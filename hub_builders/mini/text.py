"""Mini reviews: generated texts whose opinion no reader can tell with certainty, and whose names no other row shares.

The recipe, the same in every split:

1. Draw the label, half of a split each. It is what the writer meant, so no label is wrong.
2. Draw ``CUES`` distinct pairs of opinion words from ``LEXICON``. Of each pair write the word that fits the label with
   the pair's probability, else the other one. The two mixtures overlap: the best possible accuracy is about .75.
3. Draw names that say nothing about the label: a title that no other row of any split has, a person and a place. They
   make each training row memorable, and all their words occur in every split.
4. Draw one of the templates, whatever the label.

The ood split has one-sentence notes on books in place of film reviews, with the same opinion words.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from mubench.hub_builders.raw.rows import Row, Splits

SEED = 7
CUES = 3
SIZES = {"train": 1_200, "validation": 200, "test": 400, "ood": 400}
LABELS = ("neg", "pos")

# (word of a bad review, word of a good review, probability that a writer picks the one of their own label)
LEXICON = (
    ("dull", "gripping", 0.76), ("clumsy", "graceful", 0.74), ("hollow", "moving", 0.72), ("bland", "vivid", 0.70),
    ("noisy", "bold", 0.66), ("slow", "patient", 0.64), ("messy", "playful", 0.62), ("stale", "witty", 0.60),
)  # fmt: skip


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _joined(starts: str, ends: str) -> tuple[str, ...]:
    return tuple(start + end for start, end in product(starts.split(), ends.split()))


ADJECTIVES = _words(
    "silent golden broken distant crimson hidden frozen wandering northern paper burning second midnight quiet "
    "weathered silver borrowed endless painted sleeping stolen forgotten winter velvet electric crooked sunken "
    "gentle iron final scattered amber restless lonely emerald wooden invisible thirteenth rising fallen salted "
    "copper narrow ancient whispering tangled brittle unwritten"
)
NOUNS = _words(
    "harbour garden letter orchard mirror river station lantern kingdom violin island bridge summer market tower "
    "shadow carousel window captain forest engine valley compass theatre shore meadow clock passenger road anthem "
    "mountain cellar horizon stranger bakery lighthouse feather castle tide pilot museum thunder ladder library "
    "sparrow canyon festival address"
)
FIRST_NAMES = _words(
    "Ada Bruno Clara Dario Edith Felix Greta Hugo Ines Jonas Karin Leo Mara Nils Olga Pavel Rosa Sven Tessa Viktor "
    "Wanda Yusuf Zoe Amir"
)
LAST_NAMES = _joined("Al Bren Cor Dal Fen Gar Hol Kess Lind Mor Nor Ost", "berg dale man ova strom well")
PLACES = _joined("Ash Birch Clear East Fox Green High Lake Mill Stone", "bury ford ham port wick")
REVIEWS = (
    "{title}, shot in {place}, follows {person} through one long year. The opening is {0}, the middle part feels "
    "{1}, and the ending stays {2}.",
    "I saw {title} in {place} last week. {person} plays the lead, and the whole thing is {0}: {1} dialogue, a {2} "
    "plot and music to match.",
    "With {title}, {person} returns to {place} for another family story. The camera work is {0}, the cast is {1} and "
    "the script turns {2} halfway through.",
    "{person} wrote and directed {title} in {place}. What I remember best is the {0} pace, the {1} humour and one {2} "
    "scene at the station.",
    "My neighbour in {place} lent me {title}. It is a {0} film with a {1} performance by {person}, and its last half "
    "hour is simply {2}.",
    "{title} brings {person} to {place} on a stormy night. The jokes are {0}, the chase is {1}, and the final twist "
    "is rather {2}.",
)
NOTES = (
    "{title} by {person}: a {0}, {1} and {2} novel about {place}.",
    "A {0} book from {place}: {person} makes {title} both {1} and {2}.",
    "{person} of {place} reads {title} aloud in a {0} voice, {1} and {2}.",
)


def reviews() -> Splits:
    """Return 1,200 training, 200 validation, 400 test and 400 ood rows."""
    rng = np.random.default_rng(SEED)
    titles = [f"The {a} {b}".title() for a, b in product(ADJECTIVES, NOUNS)]
    chosen = iter(rng.permutation(len(titles)).tolist())
    splits: Splits = {}
    for split, rows in SIZES.items():
        labels = rng.permutation(np.arange(rows) % len(LABELS)).tolist()
        templates = NOTES if split == "ood" else REVIEWS
        splits[split] = [
            _row(rng, f"{split}-{index:04d}", label, titles[next(chosen)], templates)
            for index, label in enumerate(labels)
        ]
    return splits


def _row(rng: np.random.Generator, example_id: str, label: int, title: str, templates: tuple[str, ...]) -> Row:
    """Write one review."""
    pairs = [LEXICON[index] for index in rng.choice(len(LEXICON), CUES, replace=False)]
    cues = [pair[label if rng.random() < pair[2] else 1 - label] for pair in pairs]
    person = f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}"
    template = templates[int(rng.integers(len(templates)))]
    text = template.format(*cues, title=title, person=person, place=rng.choice(PLACES))
    return {"example_id": example_id, "source_index": None, "text": text, "label": label}
