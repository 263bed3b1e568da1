"""What threads of the server keep of the memory that they have used."""

from __future__ import annotations

import ctypes
import platform

# Of glibc's malloc.h: the number of arenas, which grows with that of threads unless it is said.
M_ARENA_MAX = -8
ARENAS = 2


def share_arenas() -> bool:
    """Let all threads take memory from few arenas, and return whether this system has any.

    Each thread that answers a visitor would keep one of its own, as large as the largest answer that it ever gave.
    """
    return platform.libc_ver()[0] == "glibc" and ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS) == 1
