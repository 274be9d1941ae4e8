"""A disk without room."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from runner.world import RealDisk


class FullDisk(RealDisk):
    """A disk that takes nothing more."""

    def write(self, path: Path, content: bytes, mode: int | None = None) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def append(self, path: Path, content: bytes, *, synced: bool = False) -> None:
        self.write(path, content)

    def make_folder(self, path: Path, *, exist_ok: bool = True, mode: int = 0o777) -> None:
        self.write(path, b"")
