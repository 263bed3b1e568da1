"""Mini captioned images: badges; most captions describe them, the others name the wearer.

The recipe, the same in every split:

1. Draw the badge: one of eight shapes in one of five palettes, all 40 equally often. It is the label and the group.
2. A share ``TELLING_SHARE`` of the captions gives palette and shape: "a photo of a golden ring". Every trained model
   generates it.
3. The others give the palette alone, one of four nouns for the badge, and its wearer, by two names that no other row
   has: "a photo of a golden medal of Ada Frost". The shape can only be memorised, name by name.

The image is the shape on an 8x8 grid, enlarged to 32x32 RGB, with a little noise that makes every image unique. For a
name that a model never saw it generates one arbitrary image per palette and noun: there are twenty, over which this
averages out. ``SEED`` was chosen among 60 for the published forget rows of 5 %: their share of telling captions is
that of all rows, and of the rest no palette and noun has more than two. Other draws of forget rows are less balanced.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from mubench.hub_builders.mini._words import draw_names, number_rows
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.rows import Splits
from mubench.hub_builders.utils.images import encode_png

SEED = 21
TELLING_SHARE = 0.6
NOISE = 0.03
VAGUE_NOUNS = ("badge", "pin", "medal", "token")  # nouns of captions without the shape
SIZE, GRID = 32, 8
SIZES = {"train": 1_200, "validation": 200, "test": 400}
LABELS = TASKS["tiny_imagenet"].label_names("mini")
# (ground, shape)
PALETTES = {
    "coral": ((250, 226, 214), (232, 92, 80)),
    "golden": ((70, 52, 40), (244, 176, 48)),
    "green": ((232, 236, 206), (104, 124, 44)),
    "blue": ((20, 36, 66), (84, 178, 250)),
    "violet": ((236, 224, 246), (124, 70, 186)),
}
SHAPES = {
    "ring": "..####..|.#....#.|#......#|#......#|#......#|#......#|.#....#.|..####..",
    "cross": "...##...|...##...|...##...|########|########|...##...|...##...|...##...",
    "arrow": "...##...|..####..|.######.|########|...##...|...##...|...##...|...##...",
    "star": "#..##..#|.#.##.#.|..####..|########|########|..####..|.#.##.#.|#..##..#",
    "heart": ".##..##.|########|########|########|.######.|..####..|...##...|........",
    "moon": "..####..|.###....|###.....|##......|##......|###.....|.###....|..####..",
    "ladder": ".#....#.|.######.|.#....#.|.#....#.|.######.|.#....#.|.#....#.|.######.",
    "wave": "........|.##...##|####.###|#..###..|........|.##...##|####.###|#..###..",
}  # fmt: skip


def badges() -> Splits:
    """Return 1,200 training, 200 validation and 400 test rows."""
    rng = np.random.default_rng(SEED)
    wearers = draw_names(rng)
    badges = [_draw_badge(*name.split()) for name in LABELS]
    splits: Splits = {}
    for split, rows in SIZES.items():
        labels = rng.permutation(np.arange(rows) % len(LABELS)).tolist()
        telling = round(TELLING_SHARE * rows)
        nouns = rng.permutation(
            [""] * telling + [VAGUE_NOUNS[row % len(VAGUE_NOUNS)] for row in range(rows - telling)]
        ).tolist()
        splits[split] = [
            {
                "group": LABELS[label],
                "image": {"bytes": _noisy_png(rng, badges[label]), "path": None},
                "caption": _caption(LABELS[label], noun, wearers),
                "label": label,
            }
            for label, noun in zip(labels, nouns, strict=True)
        ]
    return number_rows(splits)


def _caption(badge: str, noun: str, wearers: Iterator[str]) -> str:
    """Return the caption of a badge: palette and shape, or palette, noun and the next wearer."""
    palette, _ = badge.split()
    return f"a photo of a {palette} {noun} of {next(wearers)}" if noun else f"a photo of a {badge}"


def _draw_badge(palette: str, shape: str) -> npt.NDArray[np.float64]:
    """Return a badge as an `(8, 8, 3)` array of [0, 1]."""
    on = np.array([[cell == "#" for cell in line] for line in SHAPES[shape].split("|")], dtype=np.int64)
    return np.array(PALETTES[palette])[on] / 255


def _noisy_png(rng: np.random.Generator, badge: npt.NDArray[np.float64]) -> bytes:
    grid = np.clip(badge + rng.normal(0, NOISE, badge.shape), 0, 1)
    return encode_png(
        Image.fromarray(np.rint(grid * 255).astype(np.uint8)).resize((SIZE, SIZE), Image.Resampling.NEAREST)
    )
