"""Limits the memory that the server's threads retain."""

from __future__ import annotations

import ctypes
import platform

# Of glibc's malloc.h: the number of arenas, which by default grows with that of threads.
M_ARENA_MAX = -8
ARENAS = 2


def limit_arenas() -> bool:
    """Let all threads share a few malloc arenas, and return whether this system has arenas.

    Otherwise each thread that serves a visitor retains an arena as large as its largest response.
    """
    return platform.libc_ver()[0] == "glibc" and ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS) == 1
