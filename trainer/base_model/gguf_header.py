"""What a GGUF file says of its model and tokenizer; the weights stay on disk, never read.

Read here rather than by llama.cpp's package, which brings numpy: 57 MB for a format that fits on a page
(docs/decisions/0020). A large vocabulary still takes a moment, so what was found is kept in the user's cache, under the
file's path, size and time of change.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.errors import BaseModelError
from trainer.files import cache_folder, write_atomically

LEFT_OUT = ("tokenizer.ggml.scores",)
TENSORS = "tensors"
"""Key of the tensors' names."""
VERSION = 1
MAGIC, SUPPORTED_VERSIONS, ALIGNMENT = b"GGUF", (2, 3), 32
TEXT, ARRAY = 8, 9
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""``struct``'s codes of the kinds of value that are numbers."""
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66),
    17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54),
    35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""Elements and bytes of a block, by the number of a tensor's type; of an unknown type only the start counts."""


def read_header(path: Path) -> Mapping[str, Any]:
    """Return a GGUF file's metadata by key, and under ``tensors`` the names of its tensors.

    Raises:
        BaseModelError: If it is no whole GGUF file.
    """
    place = _place(path)
    with contextlib.suppress(OSError, ValueError):
        kept: dict[str, Any] = json.loads(place.read_bytes())
        return kept
    header = _read(path)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs a second each time
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, json.dumps(header).encode())
    return header


def _place(path: Path) -> Path:
    try:
        found = path.stat()
    except OSError as err:
        raise _broken(path, err) from err
    words = f"{VERSION}|{path.resolve()}|{found.st_size}|{found.st_mtime_ns}"
    return cache_folder() / "gguf" / f"{hashlib.sha256(words.encode()).hexdigest()[:24]}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).header()
    except (OSError, ValueError, RecursionError, struct.error) as err:
        raise _broken(path, err) from err


class _Reader:
    """Reads a GGUF file of version 2 or 3 from its start, in whichever byte order it has."""

    def __init__(self, data: mmap.mmap) -> None:
        """Check the magic number and find the byte order.

        Raises:
            ValueError: If it is no GGUF file, or one of another version.
        """
        if data[:4] != MAGIC:
            raise ValueError("it does not begin with GGUF")
        self._data, self._at, self._order = data, 4, "<"
        version = self._number("I")
        if version & 0xFFFF == 0:  # as small numbers look when they are read in the wrong order
            self._at, self._order = 4, ">"
            version = self._number("I")
        if version not in SUPPORTED_VERSIONS:
            raise ValueError(f"its format has version {version}")
        self._version = version

    def header(self) -> dict[str, Any]:
        """Return the metadata, and the names of the tensors, whose data must all be there."""
        tensors, entries = self._number("Q"), self._number("Q")
        found: dict[str, Any] = {"GGUF.version": self._version, "GGUF.tensor_count": tensors, "GGUF.kv_count": entries}
        for _ in range(entries):
            name = self._text()
            if name in found:
                raise ValueError(f"{name} stands in it twice")
            found[name] = self._value(self._number("I"))
        ends = dict(self._tensor() for _ in range(tensors))
        if len(ends) != tensors:
            raise ValueError("two tensors have the same name")
        alignment = found.get("general.alignment", ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1:
            raise ValueError(f"its alignment is {alignment}")
        begin = -(-self._at // alignment) * alignment
        if ends and begin + max(ends.values()) > len(self._data):
            raise ValueError("it ends before its last tensor")
        return {name: value for name, value in found.items() if name not in LEFT_OUT} | {TENSORS: list(ends)}

    def _tensor(self) -> tuple[str, int]:
        """Return a tensor's name and where its data end, counted from the start of all tensors' data."""
        name = self._text()
        elements = math.prod(self._numbers("Q", self._number("I")))
        block, block_bytes = BLOCKS.get(self._number("I"), (1, 0))
        return name, self._number("Q") + elements // block * block_bytes

    def _value(self, kind: int) -> Any:
        if kind == TEXT:
            return self._text()
        if kind == ARRAY:
            kind, count = self._number("I"), self._number("Q")
            if kind in NUMBERS:
                return self._numbers(NUMBERS[kind], count)
            return [self._value(kind) for _ in range(count)]
        if kind not in NUMBERS:
            raise ValueError(f"it holds a value of the unknown kind {kind}")
        return self._number(NUMBERS[kind])

    def _text(self) -> str:
        return self._take(self._number("Q")).decode()

    def _number(self, code: str) -> Any:
        return self._numbers(code, 1)[0]

    def _numbers(self, code: str, count: int) -> list[Any]:
        size = struct.calcsize(f"{self._order}{code}")
        return list(struct.unpack(f"{self._order}{count}{code}", self._take(count * size)))

    def _take(self, count: int) -> bytes:
        begin, self._at = self._at, self._at + count
        if self._at > len(self._data):
            raise ValueError(f"it ends at byte {len(self._data)}, within its header")
        return self._data[begin : self._at]


def _broken(path: Path, err: Exception) -> BaseModelError:
    return BaseModelError(
        f"base model: {path} is not a whole GGUF file",
        details=str(err),
        resolution="fetch the file again and compare its size or checksum with the publisher's",
    )
