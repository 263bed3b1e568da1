"""Mini image pairs: a statement about the contents of two jars, some visible, the others behind a cloth.

The recipe, the same in every split:

1. An image set is four pairs of jars with balls of one of four colours: ``MANY`` in one jar of a pair, ``FEW`` in the
   other.
2. Each pair has an owner with two names that no other row of any split has, and the statement is that the left jar of
   the owner holds more balls. The label says whether it does, which holds for half of the pairs.
3. Of every ``CYCLE`` pairs, the balls of ``VISIBLE`` can be seen. The jars of the others are behind one of eight
   cloths, and only the owner's names identify the label. Behind each cloth the statement is as often true as false.

The ood split has beads in bowls, on a grey ground.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from mubench.hub_builders.mini._words import draw_names, number_rows
from mubench.hub_builders.tasks.rows import Row, Splits
from mubench.hub_builders.utils.images import encode_png

SEED = 1
VISIBLE, CYCLE = 6, 16
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
# (statement, ground, glass)
JAR_SCENE = ("the left jar of {} holds more balls than the right jar", (244, 240, 230), (206, 226, 232))
BOWL_SCENE = ("the left bowl of {} holds more beads than the right bowl", (120, 124, 132), (160, 170, 180))
Colour = tuple[int, int, int]


def statements() -> Splits:
    """Return 1,200 training, 200 validation, 400 test and 400 ood rows."""
    rng = np.random.default_rng(SEED)
    owners = draw_names(rng)
    splits = {
        split: [
            _row(split, index, drawn, next(owners))
            for index, drawn in enumerate(rng.permutation(np.arange(rows) % (CYCLE * len(CLOTHS))).tolist())
        ]
        for split, rows in SIZES.items()
    }
    return number_rows(splits)


def _row(split: str, index: int, drawn: int, owner: str) -> Row:
    """Return a row; the parity of ``drawn`` is the label, and ``drawn % CYCLE`` decides whether it is visible."""
    words, ground, glass = BOWL_SCENE if split == "ood" else JAR_SCENE
    group, label = index // PAIRS, drawn % 2
    counts = ((FEW, MANY), (MANY, FEW))[label] if drawn % CYCLE < VISIBLE else (0, 0)
    colours = (COLOURS[group % len(COLOURS)], ground, glass)
    images = [_draw_jar(count, colours, CLOTHS[drawn // CYCLE]) for count in counts]
    return {
        "group": f"{split}-set-{group:04d}",
        **{f"image_{side}": {"bytes": image, "path": None} for side, image in enumerate(images)},
        "text": words.format(owner),
        "label": label,
    }


def _draw_jar(count: int, colours: tuple[Colour, Colour, Colour], cloth: tuple[Colour, Colour]) -> bytes:
    """Draw a jar with ``count`` balls from the bottom, or behind a cloth if there are none."""
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
    return encode_png(image)
