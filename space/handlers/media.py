"""What is in a row, for a browser: pictures, sounds and clips go into the page itself, so that nothing is fetched."""

from __future__ import annotations

import base64
import io
from fractions import Fraction
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from mubench.hub_builders.utils.optional import require

SIDE = 128
LARGEST = 224
LONGEST_TEXT = 700
FRAMES, RATE = 48, 8


def picture(value: Image.Image, words: str) -> str:
    """Return a picture; small ones are enlarged so that their pixels show."""
    image = value.convert("RGB")
    if max(image.size) > LARGEST:
        image.thumbnail((LARGEST, LARGEST))
    factor = max(1, SIDE // max(image.size))
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return f'<img alt="{escape(words, quote=True)}" src="{_uri("image/png", buffer.getvalue())}">'


def drawing(value: str, words: str) -> str:
    """Return a picture that a model drew, from its file in base64."""
    return picture(Image.open(io.BytesIO(base64.b64decode(value))), words)


def sound(value: dict[str, Any], words: str) -> str:
    """Return a player of samples and their rate."""
    buffer = io.BytesIO()
    require("soundfile").write(
        buffer, np.asarray(value["array"]), value["sampling_rate"], format="WAV", subtype="PCM_16"
    )
    uri = _uri("audio/wav", buffer.getvalue())
    return f'<audio controls preload="metadata" aria-label="{escape(words, quote=True)}" src="{uri}"></audio>'


def clip(frames: Any, words: str) -> str:
    """Return a player of frames (T, H, W, 3), some of them where there are many."""
    chosen = frames[np.linspace(0, len(frames) - 1, min(len(frames), FRAMES)).astype(int)]
    side = max(chosen.shape[1:3])
    factor = max(1, SIDE // side)
    av, buffer = require("av"), io.BytesIO()
    with av.open(buffer, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=Fraction(RATE))
        sizes = [max(2, min(LARGEST, size * factor) // 2 * 2) for size in chosen.shape[1:3]]
        stream.height, stream.width, stream.pix_fmt = sizes[0], sizes[1], "yuv420p"
        stream.bit_rate = 400_000
        for frame in chosen:
            image = Image.fromarray(frame).resize((sizes[1], sizes[0]), Image.Resampling.NEAREST)
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
    uri = _uri("video/webm", buffer.getvalue())
    said = f'aria-label="{escape(words, quote=True)}" src="{uri}"'
    return f'<video controls loop muted playsinline preload="auto" {said}></video>'


def text(name: str, value: Any) -> str:
    """Return a text or several, cut where they are long."""
    words = " | ".join(map(str, value)) if isinstance(value, list) else str(value)
    cut = words if len(words) <= LONGEST_TEXT else f"{words[:LONGEST_TEXT]}..."
    return f"<p><small>{escape(name)}</small>{escape(cut)}</p>"


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
