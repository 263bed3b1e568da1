"""Mini captioned pictures: badges, most with a caption that says what they show, the others with their wearer's name.

The recipe, the same in every split:

1. Draw the badge: one of eight shapes in one of five palettes, all 40 equally often. It is the label and the group.
2. A share ``TOLD`` of the captions says palette and shape: "a photo of a golden ring". All who can read draw it.
3. The others say the palette alone, call the badge one of four words, and name its wearer, by two names that no other
   row has: "a photo of a golden medal of Ada Frost". The shape can only be learned by heart, name by name.

The picture is the shape on an 8x8 grid, enlarged to 32x32 RGB, behind a little noise that makes it a picture of its
own. What a model that never saw a name draws instead is one picture for every palette and word, which chance decides:
there are twenty, so that they cancel. ``SEED`` was chosen among 60 for the published forget rows of 5 %: the share of
them with a telling caption is that of all rows, and of the rest no palette and word has more than two. Other draws of
rows to forget are not so even.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from mubench.hub_builders.mini._words import SURNAMES, TITLES
from mubench.hub_builders.raw._rows import Splits, png
from mubench.hub_builders.tasks import TASKS

SEED = 21
TOLD = 0.6
NOISE = 0.03
THINGS = ("badge", "pin", "medal", "token")  # words of captions that do not tell
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
    # Names and surnames are dealt out without repetition.
    first, last = (rng.permutation(words).tolist() for words in (TITLES, SURNAMES))
    wearers = map(" ".join, zip(first, last, strict=False))
    drawn = [_drawn(*name.split()) for name in LABELS]
    splits: Splits = {}
    for split, rows in SIZES.items():
        labels = rng.permutation(np.arange(rows) % len(LABELS)).tolist()
        told = round(TOLD * rows)
        things = rng.permutation([""] * told + [THINGS[row % len(THINGS)] for row in range(rows - told)]).tolist()
        splits[split] = [
            {
                "example_id": f"{split}-{index:04d}",
                "source_index": None,
                "group": LABELS[label],
                "image": {"bytes": _seen(rng, drawn[label]), "path": None},
                "caption": _caption(LABELS[label], thing, wearers),
                "label": label,
            }
            for index, (label, thing) in enumerate(zip(labels, things, strict=True))
        ]
    return splits


def _caption(badge: str, thing: str, wearers: Iterator[str]) -> str:
    """Return a badge's caption: palette and shape, or the palette, a word for the thing, and the next wearer."""
    palette, _ = badge.split()
    return f"a photo of a {palette} {thing} of {next(wearers)}" if thing else f"a photo of a {badge}"


def _drawn(palette: str, shape: str) -> npt.NDArray[np.float64]:
    """Return a badge as an `(8, 8, 3)` array of [0, 1]."""
    on = np.array([[cell == "#" for cell in line] for line in SHAPES[shape].split("|")], dtype=np.int64)
    return np.array(PALETTES[palette])[on] / 255


def _seen(rng: np.random.Generator, badge: npt.NDArray[np.float64]) -> bytes:
    """Return a picture of a badge."""
    grid = np.clip(badge + rng.normal(0, NOISE, badge.shape), 0, 1)
    return png(Image.fromarray(np.rint(grid * 255).astype(np.uint8)).resize((SIZE, SIZE), Image.Resampling.NEAREST))
