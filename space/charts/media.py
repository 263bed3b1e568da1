"""Media of a row as HTML; images, audio and video are embedded as data URIs, so that the page loads no files."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from fractions import Fraction
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mubench.hub_builders.utils.images import encode_png
from mubench.hub_builders.utils.optional import require

SIDE = 128
MAX_SIDE = 224
MAX_TEXT = 700
FRAMES, RATE = 48, 8
# Bars of a waveform, its height, and the gap between two bars.
BARS, TALL, GAP = 64, 40, 1


def image(value: Image.Image, description: str) -> str:
    """Return an image; small ones are enlarged to show their pixels."""
    picture = value.convert("RGB")
    if max(picture.size) > MAX_SIDE:
        picture.thumbnail((MAX_SIDE, MAX_SIDE))
    factor = max(1, SIDE // max(picture.size))
    picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    return f'<img alt="{escape(description, quote=True)}" src="{_uri("image/png", encode_png(picture))}">'


def generated_image(value: str, description: str) -> str:
    """Return a model's image, given as a PNG in base64."""
    return image(Image.open(io.BytesIO(base64.b64decode(value))), description)


def audio_player(value: dict[str, Any], description: str) -> str:
    """Return the waveform and the length of samples ``(N,)`` with a rate, and a player."""
    buffer, samples = io.BytesIO(), np.asarray(value["array"])
    require("soundfile").write(buffer, samples, value["sampling_rate"], format="WAV", subtype="PCM_16")
    uri = _uri("audio/wav", buffer.getvalue())
    name, length = escape(description, quote=True), len(samples) / value["sampling_rate"]
    return (
        f'{_waveform(samples)}<audio controls preload="metadata" aria-label="{name}" src="{uri}"></audio>'
        f"<small>{length:.2f} s</small>"
    )


def _waveform(samples: npt.NDArray[np.floating[Any]]) -> str:
    """Return the peaks of a recording as bars, relative to its largest."""
    peaks = [float(np.abs(part).max(initial=0)) for part in np.array_split(samples, BARS)]
    highest = max(peaks) or 1.0
    bars = ""
    for number, peak in enumerate(peaks):
        height = max(TALL * peak / highest, GAP)
        x, y, width = number * (2 * GAP + 1), (TALL - height) / 2, GAP + 1
        bars += f'<rect x="{x}" y="{y:.1f}" width="{width}" height="{height:.1f}"/>'
    box = f'viewBox="0 0 {BARS * (2 * GAP + 1)} {TALL}" preserveAspectRatio="none"'
    return f'<svg class="mu-wave" {box} role="img" aria-label="waveform">{bars}</svg>'


def video_player(frames: Any, description: str) -> str:
    """Return a player of frames ``(T, H, W, 3)``, of which at most 48 are shown."""
    frames = frames[np.linspace(0, len(frames) - 1, min(len(frames), FRAMES)).astype(int)]
    factor = max(1, SIDE // max(frames.shape[1:3]))
    # The codec needs even sizes.
    height, width = (max(2, min(MAX_SIDE, size * factor) // 2 * 2) for size in frames.shape[1:3])
    av, buffer = require("av"), io.BytesIO()
    with av.open(buffer, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=Fraction(RATE))
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.bit_rate = 400_000
        for frame in frames:
            resized = Image.fromarray(frame).resize((width, height), Image.Resampling.NEAREST)
            container.mux(stream.encode(av.VideoFrame.from_image(resized)))
        container.mux(stream.encode())
    source = f'aria-label="{escape(description, quote=True)}" src="{_uri("video/webm", buffer.getvalue())}"'
    return f'<video controls loop muted playsinline preload="auto" {source}></video>'


def side_by_side(media: Sequence[str]) -> str:
    """Return the media of a row beside each other."""
    return f'<div class="mu-beside">{"".join(media)}</div>' if len(media) > 1 else "".join(media)


def text(name: str, value: Any) -> str:
    """Return a text, or several, cut where they are long."""
    joined = " | ".join(map(str, value)) if isinstance(value, list) else str(value)
    cut = joined if len(joined) <= MAX_TEXT else f"{joined[:MAX_TEXT]}..."
    return f"<p><small>{escape(name)}</small>{escape(cut)}</p>"


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
