"""Page layout, one tab per file, and which handler each event calls; imports ``handlers``, ``charts`` and ``jobs``."""
