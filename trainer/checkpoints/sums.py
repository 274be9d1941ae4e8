"""SHA-256 of a bucket's files, kept beside them where the store keeps no metadata of ours.

Some gateways drop what a client says of an object, and give ETags that say nothing of its content. There each folder
has one file more, ``.douse-sums.json``. It is written after the files that it vouches for, and it stops vouching for a
file before that one is replaced, so that a cut at any moment leaves none that is vouched for wrongly.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from trainer.checkpoints.turns import PatientLock
from trainer.files import object_or_none

SUMS_NAME = ".douse-sums.json"
FORMAT = 1
MOST_UNSAVED_FILES = 200
MOST_UNSAVED_BYTES = 64 << 20
"""After so many new files, or so much in them, sums are written in between: what is cut later goes on from there."""


@dataclass
class _Folder:
    """The sums of one folder.

    Attributes:
        known: SHA-256 by name, as far as is known.
        settled: Files of which this program has seen to it that they are there, and what they are.
        written: Files that the sums in the store vouch for.
        unsaved_files: New files since they were written.
        unsaved_bytes: Their size.
    """

    known: dict[str, str] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    unsaved_files: int = 0
    unsaved_bytes: int = 0


class Sums:
    """The sums of all folders of a place; any thread may use it."""

    def __init__(
        self, read: Callable[[str], bytes], write: Callable[[bytes, str], None], listed: Mapping[str, datetime]
    ) -> None:
        """Learn how to read and write a small file there, and when each file was written, by the store's own clock."""
        self._read, self._write, self._listed = read, write, listed
        self._folders: dict[str, _Folder] = {}
        self._lock = PatientLock()

    def of(self, name: str) -> str | None:
        """Return the SHA-256 of a file as it was put there; ``None`` if nothing vouches for it."""
        with self._lock:
            return self._folder(name).known.get(name)

    def before_change(self, name: str) -> None:
        """Stop vouching for a file that is about to be replaced."""
        with self._lock:
            folder = self._folder(name)
            folder.known.pop(name, None)
            folder.settled.discard(name)
            if name in folder.written:
                self._save(_parent(name), folder, folder.settled)

    def note(self, name: str, sha256: str, size_bytes: int) -> None:
        """Note what a file is that has just been put there."""
        with self._lock:
            folder = self._folder(name)
            folder.known[name] = sha256
            folder.settled.add(name)
            folder.unsaved_files += 1
            folder.unsaved_bytes += size_bytes
            if folder.unsaved_files >= MOST_UNSAVED_FILES or folder.unsaved_bytes >= MOST_UNSAVED_BYTES:
                self._save(_parent(name), folder, folder.settled)

    def keep(self, name: str) -> None:
        """Note that a file stays as it is."""
        with self._lock:
            folder = self._folder(name)
            if name in folder.known:
                folder.settled.add(name)

    def settle(self) -> None:
        """Write what is not written yet; nothing is replaced from here on."""
        with self._lock:
            for parent, folder in self._folders.items():
                if folder.known.keys() != folder.written:
                    self._save(parent, folder, folder.known)

    def _folder(self, name: str) -> _Folder:
        """Return the sums of a file's folder, read with the first question."""
        parent = _parent(name)
        if parent not in self._folders:
            self._folders[parent] = self._load(parent)
        return self._folders[parent]

    def _load(self, parent: str) -> _Folder:
        """Read a folder's sums; what is younger than they are was replaced by someone who did not know of them."""
        beside = _join(parent, SUMS_NAME)
        if beside not in self._listed:
            return _Folder()
        try:
            values = object_or_none(self._read(beside)) or {}
        except FileNotFoundError:  # it was removed since it was listed
            return _Folder()
        files = values.get("files")
        if values.get("format") != FORMAT or not isinstance(files, dict):
            return _Folder()
        sums = {_join(parent, name): str(sha256) for name, sha256 in files.items()}
        at = self._listed[beside]
        known = {name: sha256 for name, sha256 in sums.items() if name in self._listed and self._listed[name] <= at}
        return _Folder(known, written=set(sums))

    def _save(self, parent: str, folder: _Folder, names: Iterable[str]) -> None:
        files = {PurePosixPath(name).name: folder.known[name] for name in sorted(names)}
        self._write(json.dumps({"format": FORMAT, "files": files}).encode(), _join(parent, SUMS_NAME))
        folder.written = set(names)
        folder.unsaved_files = folder.unsaved_bytes = 0


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _join(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name
