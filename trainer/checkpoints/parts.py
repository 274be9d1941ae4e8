"""A big object in parts, several at a time; its file is hashed in order while they come."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

READ_BYTES = 1 << 20


class Part(NamedTuple):
    """A part of an object.

    Attributes:
        begin: Its first byte.
        end: The byte after its last one.
        size_bytes: Of the whole object.
    """

    begin: int
    end: int
    size_bytes: int

    @property
    def asked(self) -> str:
        """What to ask for it with: the header ``Range``."""
        return f"bytes={self.begin}-{self.end - 1}"

    @property
    def answered(self) -> str:
        """What it is answered with: the header ``Content-Range``."""
        return f"bytes {self.begin}-{self.end - 1}/{self.size_bytes}"


class UnwrittenError(Exception):
    """A piece could not be written.

    Attributes:
        cause: Why.
    """

    def __init__(self, cause: OSError) -> None:
        """Say why."""
        super().__init__(str(cause))
        self.cause = cause


Write = Callable[[memoryview, int], None]
"""Writes a piece at its place, counted from the begin of the object; raises ``UnwrittenError``."""
Get = Callable[[Part, Write], Mapping[str, Any] | None]
"""Brings a part, and returns what there is to know of its object; ``None`` where something else came."""


class Came(NamedTuple):
    """An object that came.

    Attributes:
        sha256: Of the file, read back.
        head: What there is to know of the object, by boto3's names.
    """

    sha256: str
    head: Mapping[str, Any]


def get_parts(path: Path, size_bytes: int, part_bytes: int, at_once: int, get: Get) -> Came | None:
    """Bring an object into a file.

    Args:
        path: The file.
        size_bytes: Of the object.
        part_bytes: Of each part but the last.
        at_once: Threads that bring parts.
        get: Brings one.

    Returns:
        ``None`` where a part was something else than was asked for, or of another object than the first.

    Raises:
        OSError: If the file cannot be written.
    """
    begins = range(0, size_bytes, part_bytes)
    parts = [Part(begin, min(begin + part_bytes, size_bytes), size_bytes) for begin in begins]
    digest, first, buffer = hashlib.sha256(), None, memoryview(bytearray(READ_BYTES))
    with path.open("wb") as file, path.open("rb", 0) as written, ThreadPoolExecutor(at_once) as pool:
        try:
            futures = [pool.submit(get, part, partial(_write, file.fileno())) for part in parts]
            for part, future in zip(parts, futures, strict=True):
                head = future.result()
                first = first or head
                if head is None or first is None or head["ETag"] != first["ETag"]:
                    return None
                left = part.end - part.begin
                while count := written.readinto(buffer[:left]):
                    digest.update(buffer[:count])
                    left -= count
        except UnwrittenError as err:
            raise err.cause from None
        finally:
            pool.shutdown(cancel_futures=True)
    return None if first is None else Came(digest.hexdigest(), first)


def _write(file: int, piece: memoryview, at: int) -> None:
    try:
        while piece:
            count = os.pwrite(file, piece, at)
            piece, at = piece[count:], at + count
    except OSError as err:
        raise UnwrittenError(err) from err
