"""Which yards there are and whether their owner lives: a file for each, locked by its owner until it dies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from pathlib import Path
from typing import IO, Any

from trainer.files import write_json


def registry_folder() -> Path:
    """Return the folder of this machine's yards; namespaces are the machine's, so it is one for the whole machine."""
    if os.geteuid() == 0 and Path("/run").is_dir():
        folder = Path("/run/douse-yards")
    else:
        folder = Path(tempfile.gettempdir()) / f"douse-yards-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


class Entry:
    """A yard's entry; the kernel lets go of its lock when the owner ends, however it ends."""

    def __init__(self, tag: str, folder: Path) -> None:
        """Claim the entry.

        Raises:
            BlockingIOError: If its owner lives.
        """
        self._path = registry_folder() / f"{tag}.json"
        self._lock = _lock(tag)
        write_json(self._path, {"folder": str(folder), "pid": os.getpid()})

    def close(self) -> None:
        """Strike the entry off."""
        self._path.unlink(missing_ok=True)
        _lock_path(self._path.stem).unlink(missing_ok=True)
        self._lock.close()


def entries() -> dict[str, Path]:
    """Return the folder of every yard that is written down, by its mark."""
    found = {}
    for path in registry_folder().glob("*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            value: dict[str, Any] = json.loads(path.read_bytes())
            found[path.stem] = Path(value["folder"])
    return found


def take_over(tag: str) -> IO[str] | None:
    """Return the lock of a yard whose owner is dead, ``None`` while the owner lives."""
    try:
        return _lock(tag)
    except BlockingIOError:
        return None


def strike_off(tag: str, lock: IO[str]) -> None:
    """Forget a yard of which nothing is left."""
    (registry_folder() / f"{tag}.json").unlink(missing_ok=True)
    _lock_path(tag).unlink(missing_ok=True)
    lock.close()


def _lock(tag: str) -> IO[str]:
    file = _lock_path(tag).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise
    return file


def _lock_path(tag: str) -> Path:
    return registry_folder() / f"{tag}.lock"
