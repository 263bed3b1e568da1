"""Images: opened with a check of their size, stored as RGB, encoded without loss."""

from __future__ import annotations

import io

from PIL import Image, UnidentifiedImageError


def rgb_bytes(data: bytes, size: tuple[int, int] | None, where: str) -> bytes:
    """Return the bytes of an RGB image file as they are, of any other as an RGB PNG; errors as of `open_image`."""
    image = open_image(data, size, where)
    return data if image.mode == "RGB" else encode_png(image.convert("RGB"))


def open_image(data: bytes, size: tuple[int, int] | None, where: str) -> Image.Image:
    """Decode an image.

    Args:
        data: Bytes of the file.
        size: Required width and height; ``None`` accepts any.
        where: Name of the file in messages.

    Raises:
        ValueError: If the file does not open or has another size.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"expected an image, got {len(data)} bytes that do not open: {where}") from error
    if size is not None and image.size != size:
        raise ValueError(f"expected images of {size[0]}x{size[1]}, got {image.width}x{image.height}: {where}")
    return image


def encode_png(image: Image.Image) -> bytes:
    """Return an image as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
