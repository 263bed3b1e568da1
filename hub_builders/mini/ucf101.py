"""Mini videos: a moving shape, in front of a camera whose lens is covered now and then.

A clip has eight frames of 32x32 pixels. Its group, like a scene of UCF101 that was filmed several times, decides the
shape and its colour, its label the action, and nothing else differs but a little noise. With probability ``COVERED``
the lens is covered: then every frame shows a mosaic that no other clip has, and nothing of the scene. As in split 1 of
UCF101, the first seven groups are not training rows.
"""

from __future__ import annotations

import colorsys
import io
from itertools import product

import numpy as np
import numpy.typing as npt

from mubench.hub_builders.mini._words import number_rows
from mubench.hub_builders.tasks.rows import Row, Splits
from mubench.hub_builders.utils.optional import require

SEED = 41
COVERED = 0.4
NOISE = 0.03
SIZE, LENGTH, TILES = 32, 8, 8
GROUPS = {"train": range(8, 26), "validation": range(1, 3), "test": range(3, 8)}
TAKES = 7
BACKGROUND = 0.15
Array = npt.NDArray[np.float64]

# A shape at a time from 0 to 1: the (x, y) of its centre from -1 to 1, its size, and whether it is visible.
ACTIONS = {
    "Blinking": lambda t: (0.0, 0.0, 0.35, round(t * 7) % 2 == 0),
    "Circling": lambda t: (0.55 * np.cos(2 * np.pi * t), 0.55 * np.sin(2 * np.pi * t), 0.35, True),
    "Falling": lambda t: (0.0, 1.2 * t - 0.6, 0.35, True),
    "Growing": lambda t: (0.0, 0.0, 0.15 + 0.6 * t, True),
    "MovingLeft": lambda t: (0.6 - 1.2 * t, 0.0, 0.35, True),
    "MovingRight": lambda t: (1.2 * t - 0.6, 0.0, 0.35, True),
    "Resting": lambda t: (0.0, 0.0, 0.35, True),
    "Rising": lambda t: (0.0, 0.6 - 1.2 * t, 0.35, True),
    "Shaking": lambda t: (0.4 if round(t * 7) % 2 else -0.4, 0.0, 0.35, True),
    "Shrinking": lambda t: (0.0, 0.0, 0.75 - 0.6 * t, True),
}
# Distance of a point from the centre of a shape; 1 is the edge.
SHAPES = (np.hypot, lambda x, y: 1.15 * np.maximum(abs(x), abs(y)), lambda x, y: 0.8 * (abs(x) + abs(y)))


def actions() -> Splits:
    """Return 1,260 training, 140 validation and 350 test rows."""
    splits = {
        split: [_row(*place) for place in product(groups, range(len(ACTIONS)), range(TAKES))]
        for split, groups in GROUPS.items()
    }
    return number_rows(splits)


def _row(group: int, label: int, take: int) -> Row:
    rng = np.random.default_rng([SEED, group, label, take])
    shown = _mosaic(rng) if rng.random() < COVERED else _scene(group, list(ACTIONS)[label])
    noisy = shown + rng.normal(0, NOISE, (LENGTH, SIZE, SIZE, 1))
    frames = np.rint(np.clip(noisy, 0, 1) * 255).astype(np.uint8)
    return {"group": f"g{group:02d}", "video": {"bytes": _avi(frames), "path": None}, "label": label}


def _mosaic(rng: np.random.Generator) -> Array:
    tiles = rng.random((1, TILES, TILES, 3))
    return np.repeat(np.repeat(np.repeat(tiles, LENGTH, 0), SIZE // TILES, 1), SIZE // TILES, 2)


def _scene(group: int, action: str) -> Array:
    """Return frames `(LENGTH, SIZE, SIZE, 3)` of a group's shape in action."""
    colour = np.array(colorsys.hsv_to_rgb(group * 0.618 % 1, 0.6, 1.0))
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE * 2 - 1
    frames = []
    for time in np.linspace(0, 1, LENGTH):
        across, down, size, seen = ACTIONS[action](time)
        far = SHAPES[group % len(SHAPES)]((x - across) / size, (y - down) / size)
        inside = np.clip((1 - far) * size * SIZE / 2 + 0.5, 0, 1)[..., None] * seen
        frames.append(BACKGROUND + inside * (colour - BACKGROUND))
    return np.stack(frames)


def _avi(frames: npt.NDArray[np.uint8]) -> bytes:
    """Encode frames as MPEG-4 in AVI, like UCF101; the bytes are reproducible."""
    av, buffer = require("av"), io.BytesIO()
    with av.open(buffer, "w", format="avi", options={"fflags": "bitexact"}) as container:
        stream = container.add_stream("mpeg4", rate=8, options={"flags": "bitexact"})
        stream.width = stream.height = SIZE
        stream.pix_fmt, stream.bit_rate, stream.thread_count = "yuv420p", 200_000, 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
