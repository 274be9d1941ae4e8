"""Long columns of bytes, written in parts and then read at any place: in memory, or in files that outlast the process.

What is in files is found again by the digest of all that it was made from, so that nobody computes it twice; it is read
only if it is whole.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from trainer.files import cache_folder, read_json, sha256_of_file, write_json

KEPT_BYTES = 4 * 2**30
"""Bytes that the shelves of the cache may take up; the ones not used for the longest time go first."""
_META = "meta.json"


@dataclass(frozen=True)
class Shelf:
    """Columns that are complete.

    Attributes:
        columns: Bytes by name.
        meta: Plain data beside them.
    """

    columns: Mapping[str, memoryview]
    meta: dict[str, Any]


def shelves() -> Path:
    """Return the folder in which they are kept."""
    return cache_folder() / "data"


def find_shelf(key: str) -> Shelf | None:
    """Return what was kept under a key, or ``None`` if there is nothing or it is not whole."""
    folder = shelves() / key
    meta = read_json(folder / _META)
    if meta is None:
        return None
    try:
        if any(sha256_of_file(folder / name) != expected for name, expected in meta["sha256"].items()):
            return None
        columns = {name: _mapped(folder / name) for name in meta["sha256"]}
        os.utime(folder / _META)
    except OSError:
        return None
    return Shelf(columns, meta["meta"])


class Writer:
    """Takes the parts of columns; nothing is kept before ``finish``."""

    def __init__(self, key: str | None) -> None:
        """Begin with nothing written.

        Args:
            key: Keep the columns in files under this key; ``None`` holds them in memory.
        """
        self._key, self._part = key, None if key is None else _new_folder(key)
        self._files: dict[str, BinaryIO] = {}
        self._sums: dict[str, Any] = {}
        self._memory: dict[str, bytearray] = {}

    def add(self, parts: Mapping[str, bytes]) -> None:
        """Append a part to each column that is named."""
        for name, part in parts.items():
            if self._part is None:
                self._memory.setdefault(name, bytearray()).extend(part)
                continue
            if name not in self._files:
                self._files[name] = (self._part / name).open("wb")
                self._sums[name] = hashlib.sha256()
            self._files[name].write(part)
            self._sums[name].update(part)

    def finish(self, meta: dict[str, Any]) -> Shelf:
        """Return the columns, and keep them if they are in files."""
        if self._part is None or self._key is None:
            return Shelf({name: memoryview(column) for name, column in self._memory.items()}, meta)
        for file in self._files.values():
            file.close()
        sums = {name: one.hexdigest() for name, one in self._sums.items()}
        write_json(self._part / _META, {"sha256": sums, "meta": meta})
        columns = {name: _mapped(self._part / name) for name in sums}
        try:
            self._part.rename(shelves() / self._key)
        except OSError:  # another process was faster, or what is there is not whole: this time the files go with us
            shutil.rmtree(shelves() / self._key, ignore_errors=True)
            shutil.rmtree(self._part, ignore_errors=True)
        _make_room(shelves() / self._key)
        return Shelf(columns, meta)

    def drop(self) -> None:
        """Remove what was written of columns that will not be finished."""
        for file in self._files.values():
            file.close()
        if self._part is not None:
            shutil.rmtree(self._part, ignore_errors=True)


def _new_folder(key: str) -> Path | None:
    """Return a folder to write in, or ``None`` where the cache takes none: then memory has to do."""
    folder = shelves() / f".{key}.{os.getpid()}.part"
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError:
        return None
    return folder


def _mapped(path: Path) -> memoryview:
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _make_room(newest: Path) -> None:
    """Remove the shelves that were not used for the longest time, until the rest fits."""
    ages = sorted(((path.stat().st_mtime, path.parent) for path in shelves().glob(f"*/{_META}")), reverse=True)
    used = 0
    for _, folder in ages:
        used += sum(path.stat().st_size for path in folder.iterdir())
        if used > KEPT_BYTES and folder != newest:
            shutil.rmtree(folder, ignore_errors=True)
