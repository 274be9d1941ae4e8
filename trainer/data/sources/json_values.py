"""JSON that is not one object a line: an array of objects, or objects that stand on several lines each."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from trainer.data.sources.json_lines import JsonObjects, row_of, way_out, what_is_wrong
from trainer.data.sources.row import BadRow, Row
from trainer.errors import DataError

MOST_ROW_BYTES = 64 * 2**20
"""The longest row that is read; the text of the longest context today (10 million tokens) is some 40 MB."""
_BLANK = re.compile(r"[\s\ufeff]*")
_STEP = 1 << 20
_NUMBERS_AS_TEXT = json.JSONDecoder(parse_int=str)
_REPAIR = "mend the file at that place, or export it anew as JSON Lines"


def is_one_object_a_line(head: bytes) -> bool:
    """Return whether a JSON file is JSON Lines, from its first bytes.

    It is, unless it begins with an array, or with an object that does not end with its line while no later line is an
    object of its own: a file whose first line alone is broken is read line by line.
    """
    lines = [line for line in head.split(b"\n") if line.strip()]
    if not lines or lines[0].lstrip()[:1] not in (b"{", b"["):
        return True
    if lines[0].lstrip()[:1] == b"[":
        return len(lines) > 1 and _is_whole(lines[0])
    if _is_whole(lines[0]):
        return True
    return any(line[:1] == b"{" and _is_whole(line) for line in lines[1:]) or not _begins_value(lines)


def _is_whole(line: bytes) -> bool:
    """Return whether a line is a whole JSON value, or several objects."""
    text = line.decode("utf-8", "replace").strip()
    try:
        _, end = JsonObjects().read(text)
    except (ValueError, RecursionError) as err:
        return not isinstance(err, json.JSONDecodeError)  # it is, but for a number that is too long, or its depth
    return text[end:].lstrip()[:1] in ("", "{")


def _begins_value(lines: list[bytes]) -> bool:
    """Return whether the lines begin a JSON value that is whole, or cut by their end alone."""
    text = b"\n".join(lines).decode("utf-8", "ignore").lstrip("\ufeff \t\r\n")
    try:
        JsonObjects().read(text)
    except json.JSONDecodeError as err:
        return err.pos >= len(text) - 1 or err.msg.startswith("Unterminated string") or len(text) >= _STEP // 2
    except (ValueError, RecursionError):
        return True
    return True


def read_json_values(path: Path, file: IO[bytes]) -> Iterator[Row | BadRow]:
    """Yield each object of a file as a row: elements of arrays, and objects that follow one another.

    Raises:
        DataError: Where the text is not JSON: nothing after that place can be read.
    """
    text = _Text(path, file)
    is_in_array = False
    while character := text.next_character():
        if is_in_array or character != "[":
            yield text.read_row()
            is_in_array = is_in_array and text.has_more_elements()
        else:
            text.skip()
            is_in_array = text.next_character() != "]"
            if not is_in_array:
                text.skip()
    if is_in_array:
        raise text.refused("the file ends within a JSON array", "the file is cut: download or export it anew")


class _Text:
    """The text of a file from a place on, read as far as it is needed."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file
        self._number, self._column = 1, 1
        self._text, self._position, self._is_all = "", 0, False
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._objects = JsonObjects()

    def next_character(self) -> str:
        """Pass over white space and return the next character, or ``""`` at the end of the file."""
        while True:
            blank = _BLANK.match(self._text, self._position)
            self._pass(self._position if blank is None else blank.end())
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._read_on():
                return ""

    def skip(self) -> None:
        """Pass over one character."""
        self._pass(self._position + 1)

    def has_more_elements(self) -> bool:
        """Pass over what follows an element of an array and return whether another element does."""
        character = self.next_character()
        if character not in (",", "]"):
            found = f"{character!r} stands" if character else "the file ends"
            raise self.refused(f"{found} where a comma or the end of the array should be", _REPAIR)
        self.skip()
        if character == "," and self.next_character() == "]":
            raise self.refused("there is a comma before the end of the array", _REPAIR)
        return character == ","

    def read_row(self) -> Row | BadRow:
        """Pass over one JSON value and return the row that it is."""
        number = self._number
        while True:
            try:
                value, end = self._objects.read(self._text, self._position)
            except json.JSONDecodeError as err:
                place = err.pos - self._position
                if self._read_on():
                    continue
                self._pass(place)
                raise self.refused(f"not valid JSON: {err.msg}", way_out(err.doc[err.pos :], _REPAIR)) from err
            except RecursionError as err:
                raise self.refused(*what_is_wrong(err)) from err
            except ValueError as err:  # a number that is too long: as text it has an end
                _, end = _NUMBERS_AS_TEXT.raw_decode(self._text, self._position)
                self._pass(end)
                return BadRow(self._path, number, *what_is_wrong(err))
            if end < len(self._text) or not self._read_on():  # else a number may go on
                self._pass(end)
                return row_of(self._path, number, value, self._objects.repeats)

    def refused(self, problem: str, resolution: str) -> DataError:
        """Return the error that names this place."""
        return DataError(f"data: {self._path}:{self._number} column {self._column}: {problem}", resolution=resolution)

    def _pass(self, position: int) -> None:
        passed = self._text[self._position : position]
        self._number += passed.count("\n")
        self._column = len(passed) - passed.rfind("\n") if "\n" in passed else self._column + len(passed)
        self._position = position

    def _read_on(self) -> bool:
        """Read as much again as there is, and return whether there was more."""
        self._text, self._position = self._text[self._position :], 0
        if len(self._text) > MOST_ROW_BYTES:
            raise self.refused(f"more than {MOST_ROW_BYTES // 2**20} MiB without the end of a JSON value", _REPAIR)
        data = b"" if self._is_all else self._file.read(max(_STEP, len(self._text)))
        self._is_all = not data
        try:
            self._text += self._decoder.decode(data, final=self._is_all)
        except UnicodeDecodeError as err:
            raise self.refused(
                f"the text after this place is not UTF-8 (byte {err.object[err.start]:#04x})", "save the file as UTF-8"
            ) from err
        return bool(data)
