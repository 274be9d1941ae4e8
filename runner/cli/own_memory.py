"""How a runner holds no more memory than it uses: for hours it waits for a machine, beside others on one computer."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""Names of ``malloc.h`` in glibc."""
LARGE_BYTES = 128 << 10
"""From this size on a piece of memory goes back to the system as soon as it is free. glibc begins with this number and
raises it, up to 32 MiB, to the size of whatever was freed: a page, or a part of a checkpoint, then leaves a hole."""
ARENAS = 1
"""By default each thread gets a pool of its own; ours wait for one another anyway."""


def keep_small() -> None:
    """Ask the C library to give back what is free; one that knows nothing of this is left as it is."""
    if sys.platform != "linux":
        return
    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        library.mallopt(M_ARENA_MAX, ARENAS)
