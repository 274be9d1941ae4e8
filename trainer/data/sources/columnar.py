"""Parquet and Arrow: what pyarrow has made of a file elsewhere is kept as JSON Lines, and found by the file's bytes.

pyarrow is neither where data is checked nor where it is trained on: a program in an environment of its own writes the
lines (``runner/adapters/data_sets/``), one for each row, and they are read here as those of any other file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from trainer.data.shelf import Shelf, Writer, find_shelf, shelves
from trainer.data.sources.kinds import COLUMNAR
from trainer.data.sources.row import as_yaml
from trainer.errors import DataError
from trainer.files import sha256_of_unchanged

_BEGINS = re.compile(COLUMNAR, re.DOTALL)
FORM = "1"
"""Of the kept lines; another one is kept beside them."""
_LINES, _BINARY = "lines", "binary"
_PART_BYTES = 1 << 20


def is_columnar(path: Path) -> bool:
    """Return whether a file is Parquet or Arrow, by its first bytes."""
    with path.open("rb") as file:
        return _BEGINS.match(file.read(8)) is not None


def has_rows(path: Path) -> bool:
    """Return whether the rows of a Parquet or Arrow file are kept."""
    return find_shelf(_key(path)) is not None


def keep_rows(path: Path, lines: Path, binary: Collection[str]) -> None:
    """Keep the rows of a Parquet or Arrow file.

    Args:
        path: The file.
        lines: Its rows as JSON Lines, one line each.
        binary: Columns that hold bytes; their cells are null in ``lines``.
    """
    writer = Writer(_key(path))
    try:
        with lines.open("rb") as file:
            while part := file.read(_PART_BYTES):
                writer.add({_LINES: part})
        writer.finish({_BINARY: list(binary)})
    except BaseException:
        writer.drop()
        raise


def row_lines(path: Path, ignored: Collection[str]) -> Iterator[bytes]:
    """Yield the rows of a Parquet or Arrow file as JSON Lines, in parts; a line's number is its row's.

    Args:
        path: The file.
        ignored: Columns that are left out on purpose.

    Raises:
        DataError: If it has columns of bytes that are not left out, or its rows are not kept.
    """
    shelf = find_shelf(_key(path))
    if shelf is None:
        raise DataError(
            f"data: {path} is a Parquet or Arrow file, and its rows are not in {shelves()}",
            resolution="start with `make`, which puts them there; make room and write permission there",
        )
    _refuse_bytes(path, shelf, ignored)
    lines = shelf.columns.get(_LINES, memoryview(b""))
    return (bytes(lines[start : start + _PART_BYTES]) for start in range(0, len(lines), _PART_BYTES))


def _refuse_bytes(path: Path, shelf: Shelf, ignored: Collection[str]) -> None:
    found = [name for name in shelf.meta[_BINARY] if name not in ignored]
    if found:
        raise DataError(
            f"data: {path} has bytes in the column {', '.join(found)}, and Douse trains on text alone",
            resolution="write the column as text; or set "
            f"`data.ignore_keys: [{', '.join(map(as_yaml, found))}]` to leave it out",
        )


def _key(path: Path) -> str:
    return f"table{FORM}-{sha256_of_unchanged(path)[:40]}"
