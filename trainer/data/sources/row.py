"""One row of a source: what a sample is made of, and where it stands; or what keeps it from being one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trainer.errors import DataError

FORMAT_HELP = (
    'write one JSON object a line: {"messages": [{"role": "user", "content": "…"}, '
    '{"role": "assistant", "content": "…"}]}'
)


AS_JSON = "write it as JSON, as Python's `json.dumps` does: with double quotation marks, null, true and false"
NAMELESS = "Unnamed: "
"""What a column without a name is called, with its place behind it, as pandas does."""
_PLAIN_NAME = re.compile(r"[^\W\d][\w.-]*")


@dataclass(frozen=True, slots=True)
class Row:
    """One object of a data file.

    Attributes:
        path: The file.
        number: The line there on which it begins, from 1.
        values: Its keys and values.
        repeats: A key that stood in it more than once, of which the last value was read; ``None`` where there is none.
    """

    path: Path
    number: int
    values: dict[str, Any]
    repeats: str | None = None

    @property
    def where(self) -> str:
        """The file and the line, for messages."""
        return f"{self.path}:{self.number}"

    def refused(self, problem: str, resolution: str, details: str | None = None) -> DataError:
        """Return the error that names this row."""
        return DataError(f"data: {self.where} {problem}", resolution=resolution, details=details)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A place of a data file where a row should be and none can be read.

    Attributes:
        path: The file.
        number: The line there, from 1.
        problem: What is wrong, after the words "path:line".
        resolution: What to do.
    """

    path: Path
    number: int
    problem: str
    resolution: str


def is_row_number(value: Any) -> bool:
    """Return whether a cell of a column without a name says nothing: spreadsheets and pandas number the rows there."""
    return type(value) is int or (isinstance(value, str) and (not value.strip() or value.strip().isdecimal()))


def as_yaml(name: str) -> str:
    """Return a key as a run file takes it in a list or a mapping."""
    is_word = _PLAIN_NAME.fullmatch(name) is not None and isinstance(yaml.safe_load(name), str)
    return name if is_word else json.dumps(name, ensure_ascii=False)


def json_type(value: Any) -> str:
    """Return JSON's name of a value's type."""
    names = {dict: "object", list: "list", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")
