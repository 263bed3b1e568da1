"""Mini signs: a shape in a colour, seen through a sensor that fails now and then.

Six shapes in four colours make 24 classes of 32x32 RGB images. The sensor adds Gaussian noise to an 8x8 colour grid
that is enlarged over the image: with probability ``FAILING`` of standard deviation ``FAILED``, which leaves nothing of
the sign, else ``WORKING``. The label is the sign before the noise.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from mubench.hub_builders.mini._words import number_rows
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.rows import Row, Splits
from mubench.hub_builders.utils.images import encode_png

SEED = 11
WORKING, FAILED, FAILING = 0.08, 2.5, 0.35
SIZE, GRID, FINE = 32, 8, 4
SIZES = {"train": 1_200, "validation": 200, "test": 400}
GROUND = (40, 42, 54)
COLOURS = {"red": (230, 60, 60), "green": (60, 190, 90), "blue": (70, 120, 240), "yellow": (240, 210, 60)}
Point = tuple[float, float]

# Corners in tenths of an image; a circle and a ring have none, and the ring has a hole.
SHAPES: dict[str, tuple[Point, ...]] = {
    "circle": (),
    "ring": (),
    "square": ((2, 2), (8, 2), (8, 8), (2, 8)),
    "triangle": ((5, 1.5), (8.5, 8), (1.5, 8)),
    "diamond": ((5, 1), (8, 5), (5, 9), (2, 5)),
    "cross": ((4, 1.5), (6, 1.5), (6, 4), (8.5, 4), (8.5, 6), (6, 6),
              (6, 8.5), (4, 8.5), (4, 6), (1.5, 6), (1.5, 4), (4, 4)),
}  # fmt: skip
LABELS = TASKS["cifar100"].label_names("mini")


def signs() -> Splits:
    """Return 1,200 training, 200 validation and 400 test rows."""
    clean = [_draw_sign(*name.split("_")) for name in LABELS]
    rng = np.random.default_rng(SEED)
    splits: Splits = {}
    for split, rows in SIZES.items():
        labels = rng.permutation(np.arange(rows) % len(LABELS)).tolist()
        splits[split] = [_row(rng, clean[label], label) for label in labels]
    return number_rows(splits)


def _draw_sign(colour: str, shape: str) -> npt.NDArray[np.float64]:
    """Return a sign as a `(32, 32, 3)` array of [0, 1]; it is drawn larger, for smooth edges."""
    side = SIZE * FINE
    image = Image.new("RGB", (side, side), GROUND)
    draw = ImageDraw.Draw(image)
    if corners := SHAPES[shape]:
        draw.polygon([(x * side / 10, y * side / 10) for x, y in corners], fill=COLOURS[colour])
    else:
        draw.ellipse((side / 5, side / 5, side * 4 / 5, side * 4 / 5), fill=COLOURS[colour])
        if shape == "ring":
            draw.ellipse((side * 0.35, side * 0.35, side * 0.65, side * 0.65), fill=GROUND)
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX)) / 255


def _row(rng: np.random.Generator, clean: npt.NDArray[np.float64], label: int) -> Row:
    noise = rng.normal(0, FAILED if rng.random() < FAILING else WORKING, (GRID, GRID, 3))
    seen = np.clip(clean + np.kron(noise, np.ones((SIZE // GRID, SIZE // GRID, 1))), 0, 1)
    image = Image.fromarray(np.rint(seen * 255).astype(np.uint8))
    return {"image": {"bytes": encode_png(image), "path": None}, "label": label}
