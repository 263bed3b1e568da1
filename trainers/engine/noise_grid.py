"""The fixed noise levels at which reference outputs of text-to-image models are computed; needs no torch."""

# Draws of noise per row.
DRAWS = 8


def grid_time(draw: int, steps: int) -> int:
    """Return the time step of a draw, ``(d + 1/2) T / DRAWS`` for ``d`` in ``0 .. DRAWS-1`` and ``T`` steps."""
    return int((draw + 0.5) * steps / DRAWS)
