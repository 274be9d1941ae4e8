"""A machine whose disk is full: a file takes every block that is free on the file system of its box."""

from __future__ import annotations

import os
from pathlib import Path

FILLER = "takes-all-that-is-free"
SMALLEST_BYTES = 512


def fill_disks(boxes: Path) -> bool:
    """Fill the disk of every machine of a rehearsal; return whether there was one.

    A box whose disk is a folder of this computer's (where loop devices are not allowed) is left alone.

    Args:
        boxes: The folder of the boxes.
    """
    disks = [disk for disk in boxes.glob("*/disk") if disk.is_mount()]
    for disk in disks:
        fill(disk / FILLER)
    return bool(disks)


def fill(file: Path) -> None:
    """Let a file have all that is free beside it; nothing is written, so that it takes no time."""
    left = os.statvfs(file.parent)
    size, end = left.f_bavail * left.f_frsize, 0
    with file.open("wb") as taken:
        while size >= SMALLEST_BYTES:
            try:
                os.posix_fallocate(taken.fileno(), end, size)
                end += size
            except OSError:  # not so much at once: what the file system needs for its own books counts too
                size //= 2
