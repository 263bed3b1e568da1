"""Mini reviews: generated texts whose opinion no reader can tell with certainty, and whose names no other row shares.

The recipe, the same in every split:

1. Draw the label, half of a split each. It is what the writer meant, so no label is wrong.
2. Draw the tone: with probability ``FITS`` that of the label, else the other one (some love a film and sound like
   they suffered). Write the word of that tone from ``CUES`` distinct pairs of ``LEXICON``. The two mixtures of words
   overlap, so the best possible accuracy is ``FITS``. The words of a review agree, but retrained models do not: once
   every training row is learned by its names, names a model never saw push it either way. With the mini BERT two
   retrained models differ on the forget rows about as much as a base and a retrained one, so the task does not pass
   the signal gate.
3. Invent a title and a surname that no other row of any split has; they say nothing about the label and make the
   row memorable. A place comes from a short list.
4. Draw one of the templates, whatever the label.

The ood split has one-sentence notes on books in place of film reviews, with the same opinion words.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from mubench.hub_builders.raw.rows import Row, Splits

SEED = 7
CUES = 3
FITS = 0.75
SIZES = {"train": 1_200, "validation": 200, "test": 400, "ood": 400}
LABELS = ("neg", "pos")

# (word of a bad review, word of a good review)
LEXICON = (
    ("dull", "gripping"), ("clumsy", "graceful"), ("hollow", "moving"), ("bland", "vivid"),
    ("noisy", "bold"), ("slow", "patient"), ("messy", "playful"), ("stale", "witty"),
)  # fmt: skip


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _joined(*syllables: str) -> tuple[str, ...]:
    return tuple("".join(parts) for parts in product(*(words.split() for words in syllables)))


FIRST_NAMES = _words("Ada Bruno Clara Dario Edith Felix Greta Hugo Ines Jonas Karin Leo")
PLACES = _words("Ashport Birchham Clearwick Eastford Foxbury Highport Lakeham Millwick")
TITLES = _joined(
    "Ba Da Fe Ga Hu Ka Lo Me Na Po Ri Sa Ta Ve Wo Zu",
    "lan rim dor vek sol nar tis mor bel kan",
    "a is on um er ix o eth ar in us al en or yx",
)
SURNAMES = _joined(
    "Al Bren Cor Dal Fen Gar Hol Kess Lind Mor Nor Ost Pel Quin Ros Sev Tarn Ulv Wen Yor Zel Brim Dun Elk",
    "ber da ma lo va stro we tho ri",
    "gen son lund wick stad ley nov ski mark dahl rup vin",
)
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
    # One list each for title and surname, dealt out without repetition.
    titles, surnames = (iter(rng.permutation(words).tolist()) for words in (TITLES, SURNAMES))
    splits: Splits = {}
    for split, rows in SIZES.items():
        labels = rng.permutation(np.arange(rows) % len(LABELS)).tolist()
        templates = NOTES if split == "ood" else REVIEWS
        splits[split] = [
            _row(rng, f"{split}-{index:04d}", label, (next(titles), next(surnames)), templates)
            for index, label in enumerate(labels)
        ]
    return splits


def _row(
    rng: np.random.Generator, example_id: str, label: int, names: tuple[str, str], templates: tuple[str, ...]
) -> Row:
    """Write one review."""
    pairs = [LEXICON[index] for index in rng.choice(len(LEXICON), CUES, replace=False)]
    tone = label if rng.random() < FITS else 1 - label
    cues = [pair[tone] for pair in pairs]
    title, person = names[0], f"{rng.choice(FIRST_NAMES)} {names[1]}"
    template = templates[int(rng.integers(len(templates)))]
    text = template.format(*cues, title=title, person=person, place=rng.choice(PLACES))
    return {"example_id": example_id, "source_index": None, "text": text, "label": label}
