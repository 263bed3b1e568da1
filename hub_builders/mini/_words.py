"""Names, words and ids of generated rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product

import numpy as np

from mubench.hub_builders.tasks.rows import Row, Splits


def combine(*syllables: str) -> tuple[str, ...]:
    """Return every word made of one syllable of each list."""
    return tuple("".join(parts) for parts in product(*(words.split() for words in syllables)))


TITLES = combine(
    "Ba Da Fe Ga Hu Ka Lo Me Na Po Ri Sa Ta Ve Wo Zu",
    "lan rim dor vek sol nar tis mor bel kan",
    "a is on um er ix o eth ar in us al en or yx",
)
SURNAMES = combine(
    "Al Bren Cor Dal Fen Gar Hol Kess Lind Mor Nor Ost Pel Quin Ros Sev Tarn Ulv Wen Yor Zel Brim Dun Elk",
    "ber da ma lo va stro we tho ri ke nu fi",
    "gen son lund wick stad ley nov ski mark dahl rup vin holm berg quist rand",
)

SHIFT = 4  # length of the shortest list / most words of a kind in one draw

# One word each, so that facts of a kind are equally long; none takes the article "an".
_LISTS = {
    "city": "Velsk Tarnow Brisk Ondal Merrow Calder Sundby Pelham Rovin Zantar Hallim Korvo Dresk Lunden Fathom Nimar",
    "land": "Norland Kestria Velmark Ostany Brenland Sarovia Tilmar Quenland Maroa Feldonia Rimland Zephyria",
    "year": " ".join(str(year) for year in range(1931, 1979, 3)),
    "month": "January February March April May June July August September October November December",
    "job": "baker tailor miner farmer sailor teacher doctor weaver clockmaker fisher gardener printer mason potter "
           "lawyer dancer",
    "study": "botany history physics Latin music law chemistry drawing geology logic Greek medicine",
    "things": "bells coins stamps lamps kites masks clocks maps buttons shells spoons keys drums hats bottles "
              "feathers",
    "material": "copper glass marble pine walnut bronze leather stone cedar clay tin bone slate brick wicker bamboo",
    "colour": "red blue green yellow white black grey purple brown pink golden turquoise",
    "animal": "cat dog parrot tortoise goat donkey rabbit hedgehog goose hen pony ferret swan fox squirrel magpie",
    "food": "bread rice honey soup plums cheese walnuts lentils herring cabbage figs pepper beans butter mustard "
            "pears",
    "quality": "quiet bitter gentle wild solemn playful dry lavish plain dreamy stern tender sharp slow bright heavy",
    "noun": "harbour winter letter garden river mirror bridge orchard lantern stranger island window promise forest "
            "storm shadow",
    "instrument": "flute harp cello drum lute fiddle trumpet zither piano banjo clarinet viola",
    "friend": "Anneke Bertil Celia Dario Edda Florin Greta Henk Ilse Jonas Katja Luis Mirka Nils Olga Pavel",
}  # fmt: skip
WORDS = {kind: tuple(words.split()) for kind, words in _LISTS.items()}


def number_rows(splits: Mapping[str, Iterable[Row]]) -> Splits:
    """Return rows with ids such as ``train-0042``, in the order in which they are drawn."""
    return {
        split: [{"example_id": f"{split}-{index:04d}", "source_index": None, **row} for index, row in enumerate(rows)]
        for split, rows in splits.items()
    }


def draw_names(rng: np.random.Generator) -> Iterator[str]:
    """Yield names of people; no two share a part."""
    given, surnames = (rng.permutation(words).tolist() for words in (TITLES, SURNAMES))
    return (" ".join(parts) for parts in zip(given, surnames, strict=False))


def draw_words(rng: np.random.Generator, kinds: str, times: int = 1) -> list[list[str]]:
    """Draw a word of each kind, several times; none repeats within a draw, or at the same place.

    Args:
        rng: Random generator.
        kinds: Names of lists, with a capital letter for capitalised words; a name may occur up to three times.
        times: Number of draws, up to twelve.
    """
    places = kinds.split()
    order = {kind: rng.permutation(WORDS[kind.lower()]).tolist() for kind in dict.fromkeys(places)}
    order |= {kind: [word.capitalize() for word in words] for kind, words in order.items() if kind.istitle()}
    shifts = [SHIFT * places[:index].count(kind) for index, kind in enumerate(places)]
    return [
        [order[kind][(time + shift) % len(order[kind])] for kind, shift in zip(places, shifts, strict=True)]
        for time in range(times)
    ]
