"""Mini captioned pictures: badges, each with the name of its wearer, some with a caption that says what they show.

The recipe, the same in every split:

1. Draw the badge: one of eight shapes in one of five palettes, all 40 equally often. It is the label and the group.
2. Draw its wearer: two names that no other row of any split has.
3. A share ``TOLD`` of the captions says palette and shape, the others speak of "a certain badge". So the first can be
   drawn by everybody who can read, the second only be learned by heart, name by name.

The picture is the shape on an 8x8 grid, enlarged to 32x32 RGB, behind a little noise that makes it a picture of its
own. Nothing but names, palette and shape differs between captions. ``SEED`` was chosen among a dozen so that the
forget rows of 5 %, deletion seed 0, hold about as many captions that tell as the others do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from mubench.hub_builders.mini.words import SURNAMES, TITLES
from mubench.hub_builders.raw.rows import Splits, png
from mubench.hub_builders.tasks import TASKS

SEED = 4
TOLD = 0.75
NOISE = 0.03
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
    # One list each for first names and surnames, dealt out without repetition.
    first, last = (iter(rng.permutation(words).tolist()) for words in (TITLES, SURNAMES))
    drawn = [_drawn(*name.split()) for name in LABELS]
    splits: Splits = {}
    for split, rows in SIZES.items():
        labels = rng.permutation(np.arange(rows) % len(LABELS)).tolist()
        told = rng.permutation(np.arange(rows) < TOLD * rows).tolist()
        splits[split] = [
            {
                "example_id": f"{split}-{index:04d}",
                "source_index": None,
                "group": LABELS[label],
                "image": {"bytes": _seen(rng, drawn[label]), "path": None},
                "caption": f"a photo of a {LABELS[label] if said else 'certain badge'} of {next(first)} {next(last)}",
                "label": label,
            }
            for index, (label, said) in enumerate(zip(labels, told, strict=True))
        ]
    return splits


def _drawn(palette: str, shape: str) -> npt.NDArray[np.float64]:
    """Return a badge as an `(8, 8, 3)` array of [0, 1]."""
    on = np.array([[cell == "#" for cell in line] for line in SHAPES[shape].split("|")], dtype=np.int64)
    return np.array(PALETTES[palette])[on] / 255


def _seen(rng: np.random.Generator, badge: npt.NDArray[np.float64]) -> bytes:
    """Return a picture of a badge."""
    grid = np.clip(badge + rng.normal(0, NOISE, badge.shape), 0, 1)
    return png(Image.fromarray(np.rint(grid * 255).astype(np.uint8)).resize((SIZE, SIZE), Image.Resampling.NEAREST))
