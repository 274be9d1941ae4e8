"""CSV and TSV: the first row names the columns, and every cell stays the text that it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from trainer.data.sources.json_values import MOST_ROW_BYTES
from trainer.data.sources.row import NAMELESS, BadRow, Row, is_row_number
from trainer.errors import DataError

TABLE_SUFFIXES = (".csv", ".tsv", ".tab")
_NAMED_SEPARATOR = "sep="  # how spreadsheets write, on a line before the header, what separates the cells


def read_table(path: Path, file: IO[bytes], name: str) -> Iterator[Row | BadRow]:
    """Yield each row below the header.

    Args:
        path: The file, for messages.
        file: Its UTF-8 text.
        name: Its name, whose ending says what separates the cells: tabs, or commas or semicolons as the header has.

    Raises:
        DataError: If the header cannot be used, a quotation mark has no partner, or the text is not UTF-8.
    """
    csv.field_size_limit(MOST_ROW_BYTES)
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    lines = _Lines(path, text)
    separator, header_line = _separator(lines, name)
    cells = csv.reader(lines.after(header_line), delimiter=separator, strict=True)
    header: list[str] | None = None
    while True:
        number = lines.number + 1 if header is not None else lines.number
        try:
            row = next(cells, None)
        except csv.Error as err:
            raise DataError(
                f"data: {path}:{number} is not valid CSV: {err}",
                resolution="write a quotation mark within quotation marks twice, and close each one",
            ) from err
        if row is None:
            return
        if header is None:
            header = _checked_header(path, number, row)
        elif row:  # a blank line has no cells
            yield _row(path, number, header, row)


class _Lines:
    """The lines of a text with their ends, counted, for a CSV reader that may take several for one row."""

    def __init__(self, path: Path, text: io.TextIOWrapper) -> None:
        self.number = 0
        self._path, self._text = path, text

    def next(self) -> str:
        try:
            line = self._text.readline(MOST_ROW_BYTES)
        except UnicodeDecodeError as err:
            raise DataError(
                f"data: {self._path}:{self.number + 1} or soon after is not UTF-8 text "
                f"(byte {err.object[err.start]:#04x})",
                resolution="save the file as UTF-8",
            ) from err
        self.number += bool(line)
        return line

    def after(self, line: str) -> Iterator[str]:
        """Yield a line that was read already, then the rest."""
        while line:
            yield line
            line = self.next()


def _separator(lines: _Lines, name: str) -> tuple[str, str]:
    """Return what separates the cells, and the header's line."""
    line = lines.next()
    while line and not line.strip():
        line = lines.next()
    if line.lower().startswith(_NAMED_SEPARATOR) and len(line.strip("\r\n")) == len(_NAMED_SEPARATOR) + 1:
        return line[len(_NAMED_SEPARATOR)], lines.next()
    if not name.endswith(".csv"):
        return "\t", line
    bare = "".join(line.split('"')[::2])  # what stands within quotation marks separates nothing
    return max(",;\t", key=bare.count), line


def _checked_header(path: Path, number: int, header: list[str]) -> list[str]:
    names = [name.strip() for name in header]
    repeated = next((name for name in names if name and names.count(name) > 1), None)
    if repeated is not None:
        raise DataError(f"data: {path}:{number} names two columns {repeated!r}", resolution="rename one of the columns")
    return names


def _row(path: Path, number: int, header: list[str], cells: list[str]) -> Row | BadRow:
    if len(cells) != len(header):
        return BadRow(
            path, number, f"has {len(cells)} cells, but the header has {len(header)}",
            "put cells that hold the separator, a quotation mark or a line end between quotation marks",
        )  # fmt: skip
    named = enumerate(zip(header, cells, strict=True))
    return Row(
        path,
        number,
        {name or f"{NAMELESS}{place}": cell for place, (name, cell) in named if name or not is_row_number(cell)},
    )
