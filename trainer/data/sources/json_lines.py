"""JSON Lines: one JSON object a line, in UTF-8. A line that cannot be read spoils no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.data.sources.row import AS_JSON, FORMAT_HELP, BadRow, Row, json_type

_MARK = "\ufeff"
"""Byte order mark: it stands within a file that was put together from several."""
_ONE_A_LINE = "put each sample on one line as a whole JSON object"
_PYTHON = ("'", "None", "True", "False", "nan", "(")


class JsonObjects:
    """Reads JSON texts as ``json.loads`` does, and notes a key that stands in an object more than once."""

    def __init__(self) -> None:
        """Begin with nothing read."""
        self.repeats: str | None = None
        self._decoder = json.JSONDecoder(object_pairs_hook=self._object)

    def read(self, text: str, start: int = 0) -> tuple[Any, int]:
        """Return the JSON value that begins at ``start``, and where it ends; ``repeats`` is about this value.

        Raises:
            ValueError: If there is none, or it holds a number that is too long (``json.JSONDecodeError`` is one).
            RecursionError: If it is nested too deeply.
        """
        self.repeats = None
        return self._decoder.raw_decode(text, start)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) != len(pairs):
            seen: set[str] = set()
            self.repeats = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        return values


def read_json_lines(path: Path, content: bytes, first: int = 1) -> Iterator[Row | BadRow]:
    """Yield each line that is not blank: mostly one row; several where objects follow one another on it.

    Args:
        path: The file, for messages.
        content: Whole lines of it.
        first: The number of the first of them.
    """
    objects = JsonObjects()
    for number, line in enumerate(content.split(b"\n"), start=first):  # only a line feed ends a line
        if line.strip():
            yield from _rows(path, number, line, objects)


def _rows(path: Path, number: int, line: bytes, objects: JsonObjects) -> Iterator[Row | BadRow]:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as err:
        yield BadRow(path, number, f"is not UTF-8 text (byte {err.start + 1} of the line)", "save the file as UTF-8")
        return
    position = len(text) - len(text.lstrip().removeprefix(_MARK).lstrip())
    while position < len(text):
        try:
            value, position = objects.read(text, position)
        except (ValueError, RecursionError) as err:
            yield BadRow(path, number, *what_is_wrong(err))
            return
        yield row_of(path, number, value, objects.repeats)
        rest = text[position:]
        position += len(rest) - len(rest.lstrip())


def row_of(path: Path, number: int, value: Any, repeats: str | None) -> Row | BadRow:
    """Return the row that a JSON value is, or why it is none."""
    if not isinstance(value, dict):
        return BadRow(path, number, f"is a JSON {json_type(value)}, not an object", FORMAT_HELP)
    return Row(path, number, value, repeats)


def what_is_wrong(err: Exception) -> tuple[str, str]:
    """Return problem and resolution for what ``JsonObjects.read`` raises."""
    if isinstance(err, json.JSONDecodeError):
        return f"is not valid JSON at column {err.colno}: {err.msg}", way_out(err.doc[err.pos :], _ONE_A_LINE)
    if isinstance(err, RecursionError):
        return "is nested too deeply", FORMAT_HELP
    return "holds a number of too many digits to be read", "write it as text (in quotation marks), or take it out"


def way_out(rest: str, otherwise: str) -> str:
    """Return what to do about a text that is not valid JSON from a place on.

    Args:
        rest: The text from that place on.
        otherwise: What to do where nothing is known about it.
    """
    if rest.startswith(_PYTHON):
        return AS_JSON
    if rest.startswith(","):
        return "take the commas between the objects away, or put [ before the first one and ] after the last one"
    return otherwise
