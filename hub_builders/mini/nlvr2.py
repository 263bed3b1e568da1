"""Mini pairs of pictures: a statement about what two jars hold, of some to be seen, of others behind a cloth.

The recipe, the same in every split:

1. An image set is four pairs of jars with balls of one of four colours. In one jar of a pair are ``MANY``, in the
   other ``FEW``.
2. Each pair has an owner with two names that no other row of any split has, and the statement is that the left jar of
   the owner holds more balls. It is true of half of the pairs, and the label says so.
3. Of ``OPEN`` in 16 pairs the balls can be seen. Before the jars of the others hangs a cloth, one of eight, and only
   the owner's names tell. Behind each cloth the statement is as often true as false.

Nothing else differs between rows, so that models that never saw a row are sure of it if its balls can be seen and
undecided if not. How a model leans where it is undecided is one number for every cloth, which chance decides: there
are several so that they cancel. The ood split has beads in bowls, on a grey ground.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from mubench.hub_builders.mini._words import SURNAMES, TITLES
from mubench.hub_builders.raw._rows import Row, Splits, png

SEED = 1
OPEN, OF = 6, 16
MANY, FEW = 13, 3
SIZE, PAIRS = 32, 4
SIZES = {"train": 1_200, "validation": 200, "test": 400, "ood": 400}
COLOURS = ((214, 56, 62), (52, 104, 214), (44, 148, 84), (150, 76, 180))
# (cloth, its folds)
CLOTHS = (
    ((196, 180, 150), (170, 152, 120)), ((120, 60, 40), (80, 36, 20)), ((240, 200, 60), (206, 166, 30)),
    ((60, 70, 80), (30, 36, 44)), ((240, 150, 180), (210, 110, 146)), ((110, 200, 200), (70, 160, 164)),
    ((150, 160, 60), (116, 126, 30)), ((220, 120, 50), (186, 88, 24)),
)  # fmt: skip
# (words of a statement, ground, glass)
JARS = ("the left jar of {} holds more balls than the right jar", (244, 240, 230), (206, 226, 232))
BOWLS = ("the left bowl of {} holds more beads than the right bowl", (120, 124, 132), (160, 170, 180))
Colour = tuple[int, int, int]


def statements() -> Splits:
    """Return 1,200 training, 200 validation, 400 test and 400 ood rows."""
    rng = np.random.default_rng(SEED)
    # One list each for first names and surnames, dealt out without repetition.
    first, last = (iter(rng.permutation(words).tolist()) for words in (TITLES, SURNAMES))
    return {
        split: [
            _row(split, index, drawn, f"{next(first)} {next(last)}")
            for index, drawn in enumerate(rng.permutation(np.arange(rows) % (OF * len(CLOTHS))).tolist())
        ]
        for split, rows in SIZES.items()
    }


def _row(split: str, index: int, drawn: int, owner: str) -> Row:
    """Return a row; the parity of the number drawn is the label, the rest by ``OF`` shows or hides it."""
    words, ground, glass = BOWLS if split == "ood" else JARS
    group, label = index // PAIRS, drawn % 2
    counts = ((FEW, MANY), (MANY, FEW))[label] if drawn % OF < OPEN else (0, 0)
    colours = (COLOURS[group % len(COLOURS)], ground, glass)
    pictures = [_drawn(count, colours, CLOTHS[drawn // OF]) for count in counts]
    return {
        "example_id": f"{split}-{index:04d}",
        "source_index": None,
        "group": f"{split}-set-{group:04d}",
        **{f"image_{side}": {"bytes": picture, "path": None} for side, picture in enumerate(pictures)},
        "text": words.format(owner),
        "label": label,
    }


def _drawn(count: int, colours: tuple[Colour, Colour, Colour], cloth: tuple[Colour, Colour]) -> bytes:
    """Draw a jar with that many balls from the bottom, or with a cloth before it if that is none."""
    colour, ground, glass = colours
    image = Image.new("RGB", (SIZE, SIZE), ground)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((3, 2, 28, 30), radius=5, fill=glass)
    for ball in range(count):
        x, y = 5 + ball % 4 * 6, 24 - ball // 4 * 6
        draw.ellipse((x, y, x + 4, y + 4), fill=colour)
    if not count:
        draw.rectangle((1, 4, 30, 30), fill=cloth[0])
        for fold in range(3, 30, 4):
            draw.line((fold, 4, fold, 30), fill=cloth[1])
    return png(image)
