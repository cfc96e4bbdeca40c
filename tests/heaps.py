"""Has the heap of C keep memory that nothing uses."""

from __future__ import annotations

import ctypes

_BLOCK = 64 << 10
"""Bytes; what is larger may be given back at once."""


def leave_holes(mib: int) -> None:
    """Take so much in small blocks, and free all but the last, behind which no heap ends."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    blocks = [libc.malloc(_BLOCK) for _ in range((mib << 20) // _BLOCK)]
    for block in blocks:
        ctypes.memset(block, 1, _BLOCK)
    for block in blocks[:-1]:
        libc.free(block)
