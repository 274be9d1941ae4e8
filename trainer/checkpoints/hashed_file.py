"""A file that is hashed while its parts come, in whatever order: no second look at it when the last one is there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PIECE_BYTES = 1 << 20


class HashedFile:
    """A file that is written by one thread, at any places, and hashed as far as it has no gap.

    What comes early is read back once the gap before it is filled: it is still in the system's memory, and takes none
    of this process. boto3 could put the parts in order itself, for a file that cannot be sought in; that waits for ever
    from the eleventh part on (s3transfer 0.19).

    Attributes:
        name: The file's, as files have it.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Begin with an empty file that can be read, too."""
        self.name, self._file, self._hash = file.name, file, hashlib.sha256()
        self._at = self._end = 0
        self._early: dict[int, int] = {}
        self._is_known = True

    @classmethod
    @contextmanager
    def at(cls, path: Path) -> Iterator[HashedFile]:
        """Open one; what has not come as a whole is removed."""
        try:
            with path.open("w+b") as file:
                yield cls(file)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def seekable(self) -> bool:
        """Return that it can be sought in."""
        return True

    def seek(self, offset: int) -> int:
        """Go to a place."""
        self._at = self._file.seek(offset)
        return self._at

    def write(self, content: bytes) -> int:
        """Write what belongs here, and go on behind it."""
        begin, written = self._at, self._file.write(content)
        self._at += written
        if begin < self._end or begin in self._early:
            self._is_known = False  # asked for again, after it had been hashed
        elif begin > self._end:
            self._early[begin] = self._at
        else:
            self._hash.update(content)
            self._end = self._at
            self._catch_up()
        return written

    def _catch_up(self) -> None:
        """Hash what came early and has no gap before it any more."""
        while (end := self._early.pop(self._end, None)) is not None:
            self._file.seek(self._end)
            while self._end < end and (piece := self._file.read(min(PIECE_BYTES, end - self._end))):
                self._hash.update(piece)
                self._end += len(piece)
        self._file.seek(self._at)

    @property
    def sha256(self) -> str | None:
        """What the file has, in hexadecimal; ``None`` where a part was written twice, or there is a gap."""
        return self._hash.hexdigest() if self._is_known and not self._early else None
