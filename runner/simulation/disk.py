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
    """Files and folders by their paths, with what of them would survive a power cut.

    Within, a path is a text: thousands of looks a second are too many for the comparisons of ``Path``.
    """

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
        self._files: dict[str, bytes] = {}
        self._synced: dict[str, bytes] = {}
        self._changed: dict[str, datetime] = {}
        self._folders: set[str] = {"/"}
        self._locks: dict[str, int] = {}
        self.is_full = False

    def need_room(self, path: Path) -> None:
        """Take what is about to be written.

        Raises:
            OSError: If the disk is full.
        """
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def read(self, path: Path) -> bytes:
        """Return a file's content."""
        self._look()
        name = str(path)
        if name in self._folders:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        try:
            return self._files[name]
        except KeyError:
            raise _missing(name) from None

    def write(self, path: Path, content: bytes, mode: int | None = None) -> None:
        """Write a file whole; it survives a power cut from then on."""
        del mode
        self._turn()
        self.need_room(path)
        name = str(path)
        if _above(name) not in self._folders:
            self.make_folder(path.parent)
        self._put(name, content)
        self._synced[name] = content

    def spoil(self, path: Path, content: bytes) -> None:
        """Let a file have another content, which takes no room."""
        self._put(str(path), content)
        self._synced[str(path)] = content

    def append(self, path: Path, content: bytes, *, synced: bool = False) -> None:
        """Add to the end of a file."""
        self._turn()
        self.need_room(path)
        name = str(path)
        if _above(name) not in self._folders:
            raise _missing(name)
        self._put(name, self._files.get(name, b"") + content)
        if synced:
            self._synced[name] = self._files[name]

    def names(self, path: Path) -> list[str]:
        """Return the names in a folder."""
        self._look()
        inside = _inside(str(path))
        found = (name[len(inside) :] for name in (*self._files, *self._folders) if name.startswith(inside))
        return sorted(name for name in found if name and "/" not in name)

    def is_file(self, path: Path) -> bool:
        """Return whether there is a file of this name."""
        self._look()
        return str(path) in self._files

    def is_dir(self, path: Path) -> bool:
        """Return whether there is a folder of this name."""
        self._look()
        return str(path) in self._folders

    def size_bytes(self, path: Path) -> int:
        """Return a file's size."""
        return len(self.read(path))

    def changed_at(self, path: Path) -> datetime:
        """Return when a file was last changed."""
        self.read(path)
        return self._changed[str(path)]

    def make_folder(self, path: Path, *, exist_ok: bool = True, mode: int = 0o777) -> None:
        """Make a folder with all above it."""
        del mode
        self._look()
        name = str(path)
        if exist_ok and name in self._folders:
            return
        if name in self._files or (name in self._folders and not exist_ok):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        self.need_room(path)
        self._folders |= {name, *map(str, path.parents)}

    def rename(self, path: Path, target: Path) -> None:
        """Give a file or a folder with all in it another name."""
        self._turn()
        name, inside = str(path), _inside(str(path))
        moved = [found for found in (*self._files, *self._folders) if found == name or found.startswith(inside)]
        if not moved:
            raise _missing(name)
        for found in moved:
            new = f"{target}{found[len(name) :]}"
            if found in self._folders:
                self._folders.remove(found)
                self._folders.add(new)
                continue
            self._put(new, self._files.pop(found))
            self._synced[new] = self._synced.pop(found, self._files[new])

    def remove(self, path: Path) -> None:
        """Remove a file."""
        self._remove(str(path))

    def remove_tree(self, path: Path) -> None:
        """Remove a folder with all in it."""
        name, inside = str(path), _inside(str(path))
        for found in [found for found in self._files if found.startswith(inside)]:
            self._remove(found)
        self._folders -= {found for found in self._folders if found == name or found.startswith(inside)}

    @contextlib.contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """Hold a lock as the process that asks."""
        self._turn()
        name = str(path)
        if name in self._locks:
            raise LockedError(name)
        process_id = self._process_id()
        self._locks[name] = process_id
        try:
            yield
        finally:
            if self._locks.get(name) == process_id:  # else its process has ended, and the lock is free or another's
                del self._locks[name]

    def lock_holder(self, path: Path) -> int | None:
        """Return the id of the process that holds a lock."""
        self._look()
        return self._locks.get(str(path))

    def release(self, process_id: int) -> None:
        """Let go of every lock of a process, as the kernel does when it has ended."""
        self._locks = {name: holder for name, holder in self._locks.items() if holder != process_id}

    def cut_power(self, chance: random.Random) -> None:
        """Lose what was not synced, all of it or from some byte on, and every lock."""
        for name, content in list(self._files.items()):
            kept = self._synced.get(name, b"")
            if content != kept:
                self._files[name] = content[: chance.randint(len(kept), len(content))]
                self._synced[name] = self._files[name]
        self._locks.clear()

    def _remove(self, name: str) -> None:
        self._turn()
        for book in (self._files, self._synced, self._changed):
            book.pop(name, None)

    def _put(self, name: str, content: bytes) -> None:
        if name in self._folders:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        self._files[name] = content
        self._changed[name] = self._now()


def _inside(name: str) -> str:
    """Return what the path of all within a folder begins with."""
    return name if name == "/" else f"{name}/"


def _above(name: str) -> str:
    """Return the folder that something is in."""
    return name.rpartition("/")[0] or "/"


def _missing(name: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
