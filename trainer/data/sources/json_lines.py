"""JSON Lines: one JSON object a line, in UTF-8."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.data.sources.row import FORMAT_HELP, Row, json_type
from trainer.errors import DataError


def read_json_lines(path: Path, content: bytes) -> Iterator[Row]:
    """Yield each line that is not blank as a row.

    Args:
        path: The file, for messages.
        content: Its bytes.

    Raises:
        DataError: On the first line that is no JSON object.
    """
    for number, line in _lines(content):
        yield Row(path, number, _parse(path, number, line))


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each line that is not blank; only a line feed ends a line."""
    content = content.removeprefix(b"\xef\xbb\xbf")  # what some editors put in front of UTF-8
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip():
            yield number, line


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as err:
        raise DataError(
            f"data: {path}:{number} is not UTF-8 text (byte {err.start + 1} of the line)",
            resolution="save the file as UTF-8",
        ) from err
    except json.JSONDecodeError as err:
        hint = "put each sample on one line as a whole JSON object"
        raise DataError(
            f"data: {path}:{number} is not valid JSON at column {err.colno}: {err.msg}", resolution=hint
        ) from err
    except RecursionError as err:
        raise DataError(f"data: {path}:{number} is nested too deeply", resolution=FORMAT_HELP) from err
    if not isinstance(value, dict):
        raise DataError(f"data: {path}:{number} is a JSON {json_type(value)}, not an object", resolution=FORMAT_HELP)
    return value
