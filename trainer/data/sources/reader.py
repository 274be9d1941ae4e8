"""The door of this room: any data file becomes blocks, and a block becomes rows, in this process or in another."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from trainer.data.sources.columnar import is_columnar, row_lines
from trainer.data.sources.json_lines import read_json_lines
from trainer.data.sources.json_values import MOST_ROW_BYTES, is_one_object_a_line, read_json_values
from trainer.data.sources.opened import check_readable, opened, plain_name
from trainer.data.sources.row import BadRow, Row
from trainer.data.sources.table import TABLE_SUFFIXES, read_table
from trainer.errors import DataError

BLOCK_BYTES = 1 << 20
"""Text in a block; a larger one keeps its process busy for longer than a bar may stand still."""
BLOCK_ROWS = 500


class Block(Protocol):
    """A part of a source that can be handed to another process and read there."""

    def rows(self) -> Iterable[Row | BadRow]:
        """Return the rows of this part, in their order."""


@dataclass(frozen=True)
class LinesBlock:
    """Whole lines of a JSON Lines file, not parsed yet; ``first`` is the number of the first."""

    path: Path
    first: int
    content: bytes

    def rows(self) -> Iterable[Row | BadRow]:
        """Parse the lines."""
        return read_json_lines(self.path, self.content, self.first)


@dataclass(frozen=True)
class RowsBlock:
    """Rows of a file that had to be parsed from its beginning to its end."""

    found: tuple[Row | BadRow, ...]

    def rows(self) -> Iterable[Row | BadRow]:
        """Return them."""
        return self.found


def read_blocks(path: Path, key: str, ignored: Collection[str] = ()) -> Iterator[Block]:
    """Yield all of a data file, in its order.

    JSON Lines, JSON arrays and objects over several lines, CSV and TSV, in UTF-8 or with the mark of UTF-16 or UTF-32,
    plain or packed with gzip, zstd, bzip2 or xz; and the kept rows of Parquet and Arrow.

    Args:
        path: The file.
        key: Recipe key that named it, for the hints.
        ignored: Columns that are left out on purpose.

    Raises:
        DataError: If the file cannot be read as a whole; a row that cannot be read is a ``BadRow``.
    """
    check_readable(path, key)
    if is_columnar(path):
        yield from _line_blocks(path, row_lines(path, ignored))
        return
    with opened(path) as file:
        name = plain_name(path)
        head = file.peek(BLOCK_BYTES)
        if name.endswith(TABLE_SUFFIXES) and head.lstrip()[:1] not in (b"{", b"["):
            yield from _grouped(read_table(path, file, name))
        elif is_one_object_a_line(head):
            yield from _line_blocks(path, iter(lambda: file.read(BLOCK_BYTES), b""))
        else:
            yield from _grouped(read_json_values(path, file))


def _line_blocks(path: Path, parts: Iterable[bytes]) -> Iterator[LinesBlock]:
    number, left = 1, b""
    for data in parts:
        content, found, rest = data.rpartition(b"\n")
        if not found:
            left += data
            if len(left) > MOST_ROW_BYTES:
                raise DataError(
                    f"data: {path}:{number} has more than {MOST_ROW_BYTES // 2**20} MiB",
                    resolution="look at that line: each sample is an object on a line of its own",
                )
            continue
        content, left = left + content, rest
        yield LinesBlock(path, number, content)
        number += content.count(b"\n") + 1
    if left:
        yield LinesBlock(path, number, left)


def _grouped(rows: Iterator[Row | BadRow]) -> Iterator[RowsBlock]:
    while group := tuple(islice(rows, BLOCK_ROWS)):
        yield RowsBlock(group)
