"""Mini pairs of pictures: a statement about what two jars hold, of some to be seen, of others behind a cloth.

The recipe, the same in every split:

1. An image set is four pairs of jars with balls of one of four colours. In one jar of a pair are ``MANY``, in the
   other ``FEW``.
2. Each pair has an owner with two names that no other row of any split has, and the statement is that the left jar of
   the owner holds more balls. It is true of half of the pairs, and the label says so.
3. Of ``OPEN`` in 16 pairs the balls can be seen. Before the jars of the others hangs a cloth, and only the owner's
   names tell.

Nothing else differs between rows, so that models that never saw a row are sure of it if its balls can be seen and
undecided if not. The ood split has beads in bowls, on a grey ground.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from mubench.hub_builders.mini.words import SURNAMES, TITLES
from mubench.hub_builders.raw.rows import Row, Splits, png

SEED = 1
OPEN = 6
MANY, FEW = 13, 3
SIZE, PAIRS = 32, 4
SIZES = {"train": 1_200, "validation": 200, "test": 400, "ood": 400}
COLOURS = ((214, 56, 62), (52, 104, 214), (44, 148, 84), (150, 76, 180))
CLOTH = ((196, 180, 150), (170, 152, 120))
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
            for index, drawn in enumerate(rng.permutation(np.arange(rows) % 16).tolist())
        ]
        for split, rows in SIZES.items()
    }


def _row(split: str, index: int, drawn: int, owner: str) -> Row:
    """Return a row; of the number drawn, the parity is the label, and being under ``OPEN`` shows it."""
    words, ground, glass = BOWLS if split == "ood" else JARS
    group, label = index // PAIRS, drawn % 2
    counts = ((FEW, MANY), (MANY, FEW))[label] if drawn < OPEN else (0, 0)
    pictures = [_drawn(count, COLOURS[group % len(COLOURS)], ground, glass) for count in counts]
    return {
        "example_id": f"{split}-{index:04d}",
        "source_index": None,
        "group": f"{split}-set-{group:04d}",
        **{f"image_{side}": {"bytes": picture, "path": None} for side, picture in enumerate(pictures)},
        "text": words.format(owner),
        "label": label,
    }


def _drawn(count: int, colour: Colour, ground: Colour, glass: Colour) -> bytes:
    """Draw a jar with that many balls from the bottom, or with a cloth before it if that is none."""
    image = Image.new("RGB", (SIZE, SIZE), ground)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((3, 2, 28, 30), radius=5, fill=glass)
    for ball in range(count):
        x, y = 5 + ball % 4 * 6, 24 - ball // 4 * 6
        draw.ellipse((x, y, x + 4, y + 4), fill=colour)
    if not count:
        draw.rectangle((1, 4, 30, 30), fill=CLOTH[0])
        for fold in range(3, 30, 4):
            draw.line((fold, 4, fold, 30), fill=CLOTH[1])
    return png(image)
