"""A disk that is a mapping: nothing of it reaches the machine, and a power cut tears what was not synced."""

from __future__ import annotations

import contextlib
import errno
import os
import random
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from runner.world import LockedError


class MemoryDisk:
    """Files and folders by their paths, with what of them would survive a power cut."""

    def __init__(
        self,
        now: Callable[[], datetime],
        process_id: Callable[[], int],
        turn: Callable[[], None],
        look: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin empty.

        Args:
            now: The time of day.
            process_id: Id of the process that asks.
            turn: Called before each change, so that another task may come first.
            look: Called before each look; like ``turn`` it raises where the process that asks has ended.
        """
        self._now, self._process_id, self._turn, self._look = now, process_id, turn, look
        self._files: dict[Path, bytes] = {}
        self._synced: dict[Path, bytes] = {}
        self._changed: dict[Path, datetime] = {}
        self._folders: set[Path] = {Path("/")}
        self._locks: dict[Path, int] = {}

    def read(self, path: Path) -> bytes:
        """Return a file's content."""
        self._look()
        if path in self._folders:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        try:
            return self._files[path]
        except KeyError:
            raise _missing(path) from None

    def write(self, path: Path, content: bytes, mode: int | None = None) -> None:
        """Write a file whole; it survives a power cut from then on."""
        del mode
        self._turn()
        self.make_folder(path.parent)
        self._put(path, content)
        self._synced[path] = content

    def append(self, path: Path, content: bytes, *, synced: bool = False) -> None:
        """Add to the end of a file."""
        self._turn()
        if path.parent not in self._folders:
            raise _missing(path)
        self._put(path, self._files.get(path, b"") + content)
        if synced:
            self._synced[path] = self._files[path]

    def names(self, path: Path) -> list[str]:
        """Return the names in a folder."""
        self._look()
        return sorted({found.name for found in (*self._files, *self._folders) if found.parent == path != found})

    def is_file(self, path: Path) -> bool:
        """Return whether there is a file of this name."""
        self._look()
        return path in self._files

    def is_dir(self, path: Path) -> bool:
        """Return whether there is a folder of this name."""
        self._look()
        return path in self._folders

    def size_bytes(self, path: Path) -> int:
        """Return a file's size."""
        return len(self.read(path))

    def changed_at(self, path: Path) -> datetime:
        """Return when a file was last changed."""
        self.read(path)
        return self._changed[path]

    def make_folder(self, path: Path, *, exist_ok: bool = True, mode: int = 0o777) -> None:
        """Make a folder with all above it."""
        del mode
        self._look()
        if exist_ok and path in self._folders:
            return
        if path in self._files or (path in self._folders and not exist_ok):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        self._folders |= {path, *path.parents}

    def rename(self, path: Path, target: Path) -> None:
        """Give a file or a folder with all in it another name."""
        self._turn()
        inside = [found for found in (*self._files, *self._folders) if found == path or path in found.parents]
        if not inside:
            raise _missing(path)
        for found in inside:
            new = target / found.relative_to(path)
            if found in self._folders:
                self._folders.remove(found)
                self._folders.add(new)
                continue
            self._put(new, self._files.pop(found))
            self._synced[new] = self._synced.pop(found, self._files[new])

    def remove(self, path: Path) -> None:
        """Remove a file."""
        self._turn()
        for book in (self._files, self._synced, self._changed):
            book.pop(path, None)

    def remove_tree(self, path: Path) -> None:
        """Remove a folder with all in it."""
        for found in [found for found in self._files if path in found.parents]:
            self.remove(found)
        self._folders -= {found for found in self._folders if found == path or path in found.parents}

    @contextlib.contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """Hold a lock as the process that asks."""
        self._turn()
        if path in self._locks:
            raise LockedError(str(path))
        process_id = self._process_id()
        self._locks[path] = process_id
        try:
            yield
        finally:
            if self._locks.get(path) == process_id:  # else its process has ended, and the lock is free or another's
                del self._locks[path]

    def lock_holder(self, path: Path) -> int | None:
        """Return the id of the process that holds a lock."""
        self._look()
        return self._locks.get(path)

    def release(self, process_id: int) -> None:
        """Let go of every lock of a process, as the kernel does when it has ended."""
        self._locks = {path: holder for path, holder in self._locks.items() if holder != process_id}

    def cut_power(self, chance: random.Random) -> None:
        """Lose what was not synced, all of it or from some byte on, and every lock."""
        for path, content in list(self._files.items()):
            kept = self._synced.get(path, b"")
            if content != kept:
                self._files[path] = content[: chance.randint(len(kept), len(content))]
                self._synced[path] = self._files[path]
        self._locks.clear()

    def _put(self, path: Path, content: bytes) -> None:
        if path in self._folders:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        self._files[path] = content
        self._changed[path] = self._now()


def _missing(path: Path) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
