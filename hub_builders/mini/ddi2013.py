"""Mini relations: generated sentences with two marked drugs; half of them show the relation, the others do not.

The recipe, the same in every split:

1. Draw the label, a fifth of a split each.
2. Half of the sentences of each label show it: they describe every aspect with the label's word from ``LEXICON``. The
   others use the vague words of one of ``VAGUE_COLUMNS`` columns that the label shares with one of its two neighbours.
   So the best possible accuracy is .75.
3. Invent two drugs, a trial and its author that no other row of any split has.

Four sentences make a document, the group of their rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mubench.hub_builders.mini._words import SURNAMES, combine, number_rows
from mubench.hub_builders.tasks.rows import Splits

SEED = 11
SIZES = {"train": 1_200, "validation": 200, "test": 400}
LABELS = 5
TELLING, CYCLE = 4, 8  # of every cycle of sentences of a label, the share that shows it
VAGUE_COLUMNS = 4  # columns of vague words that a label shares with the next
SENTENCES = 4

# Aspects of a sentence, with the words of no interaction, a mechanism, an advice, an effect and an interaction, then
# the vague ones: the label of each row of four shares them with the next label.
_LEXICON = {
    "levels": "steady doubled checked sufficient altered "
              "measured noted tracked plotted logged read drawn assayed listed mapped "
              "ranked rated graded gauged traced copied printed archived indexed tabled",
    "response": "usual delayed supervised stronger joint "
                "recorded observed watched charted filed scored coded viewed reviewed followed "
                "inspected examined compared matched sorted grouped labelled tagged numbered dated",
    "dose": "kept absorbed reduced felt paired "
            "given taken swallowed handed served weighed poured mixed packed stored "
            "shipped bottled sealed wrapped carried bought sold ordered delivered prescribed",
    "clearance": "normal halved monitored painful coupled "
                 "sampled estimated counted timed surveyed modelled fitted computed derived inferred "
                 "rounded averaged pooled summed divided calibrated repeated scanned imaged filmed",
    "outcome": "neutral kinetic cautious toxic mutual "
               "described reported stated written published quoted cited summarised translated edited "
               "typed dictated presented discussed debated shared posted mailed announced narrated",
}  # fmt: skip
LEXICON = {aspect: tuple(words.split()) for aspect, words in _LEXICON.items()}
DRUGS = combine(
    "bar cel dor fem gal hyl jor kev lum mav nix ors pel quo riv sul tam ulv vex wyn",
    "va xi lo pra ne du mo si fa te go bri",
    "tane zide coxin stigal phrine quil bactam floxal sentan gliptar parin tromax lidone pidem zolam ximab ridol vu",
)
TRIALS = combine(
    "Ar Be Cas Del Em Fal Gre Hes Ilm Jun Kol Lin Mer Nol Os Pri",
    "a e i o u ai",
    "bos dan fex gor hal kin les mar nor pas ret sol tor vik wen zar dum lio but",
)


def pairs() -> Splits:
    """Return 1,200 training, 200 validation and 400 test rows."""
    rng = np.random.default_rng(SEED)
    # Drugs, trials and authors are drawn without replacement.
    drugs, trials, authors = (iter(rng.permutation(names).tolist()) for names in (DRUGS, TRIALS, SURNAMES))
    splits: Splits = {}
    for split, rows in SIZES.items():
        drawn = rng.permutation(np.arange(rows) % (LABELS * CYCLE * VAGUE_COLUMNS)).tolist()
        splits[split] = [
            {
                "group": f"{split}-document-{index // SENTENCES:03d}",
                "text": _sentence(_column(one), drugs, f"{next(trials)} by {next(authors)}"),
                "label": one % LABELS,
            }
            for index, one in enumerate(drawn)
        ]
    return number_rows(splits)


def _column(one: int) -> int:
    """Return the column of the lexicon for a draw: that of the label, or a vague one."""
    label, turn, which = one % LABELS, one // LABELS % CYCLE, one // (LABELS * CYCLE)
    if turn < TELLING:
        return label
    first = label if 2 * turn < TELLING + CYCLE else (label - 1) % LABELS
    return LABELS + VAGUE_COLUMNS * first + which


def _sentence(column: int, drugs: Iterator[str], trial: str) -> str:
    remarks = ", ".join(f"{aspect} {words[column]}" for aspect, words in LEXICON.items())
    return f"[E1] {next(drugs)} [/E1] with [E2] {next(drugs)} [/E2] in {trial}: {remarks}."
