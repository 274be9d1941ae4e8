"""Turn a Parquet or Arrow file into JSON Lines: ``python read_rows.py TABLE LINES``.

A program for the environment of ``requirements/data.lock``, which has pyarrow and nothing of Douse. Each row becomes
one line, so that a line's number is the row's. One JSON object is printed: ``binary`` lists the columns of bytes, for
which JSON has nothing and whose cells are null; or ``problem`` says why there are no rows.
"""

from __future__ import annotations

import decimal
import json
import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

BATCH_ROWS = 500
"""Rows that are in memory at a time."""
Cell = Callable[[Any], Any]


class UnreadableError(Exception):
    """A column has no form in JSON."""


def main() -> None:
    """Read one file and say what came of it."""
    table, lines = map(Path, sys.argv[1:])
    try:
        answer: dict[str, Any] = {"binary": write_rows(table, lines)}
    except (UnreadableError, pa.ArrowException, OSError, ValueError) as err:
        answer = {"problem": " ".join(str(err).split())[:300] or type(err).__name__}
    print(json.dumps(answer))


def write_rows(table: Path, lines: Path) -> list[str]:
    """Write the rows of a table as JSON Lines and return the columns that hold bytes.

    Raises:
        UnreadableError: If a column has no form in JSON.
        pyarrow.ArrowException: If the file is damaged.
    """
    schema, batches = _opened(table)
    twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
    if twice is not None:
        raise UnreadableError(f"it has two columns {twice!r}")
    binary = [column.name for column in schema if holds_bytes(column.type)]
    cells = {column.name: cell_of(column.name, column.type) for column in schema if column.name not in binary}
    with lines.open("w", encoding="utf-8") as file:
        for batch in batches:
            columns = {name: _values(batch.column(name), name) for name in cells}
            for values in zip(*columns.values(), strict=True) if columns else [()] * batch.num_rows:
                row = {name: cell(value) for (name, cell), value in zip(cells.items(), values, strict=True)}
                file.write(json.dumps(row | dict.fromkeys(binary), ensure_ascii=False) + "\n")
    return binary


def _values(column: Any, name: str) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError as err:
        raise UnreadableError(f"the column {name!r} holds text that is not UTF-8") from err
    return values


def _opened(path: Path) -> tuple[Any, Iterator[Any]]:
    """Return the schema of a table and its parts."""
    with path.open("rb") as file:
        head = file.read(6)
    if head.startswith(b"PAR1"):
        parquet = pyarrow.parquet.ParquetFile(path, pre_buffer=False)
        return parquet.schema_arrow, parquet.iter_batches(batch_size=BATCH_ROWS, use_threads=False)
    if head == b"ARROW1":
        reader = pyarrow.ipc.open_file(pa.memory_map(str(path)))
        whole = (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        reader = pyarrow.ipc.open_stream(pa.memory_map(str(path)))
        whole = iter(reader)
    return reader.schema, (
        batch.slice(start, BATCH_ROWS) for batch in whole for start in range(0, batch.num_rows, BATCH_ROWS)
    )


def holds_bytes(kind: Any) -> bool:
    """Return whether values of a type are bytes, or hold some."""
    kind = _plain(kind)
    if pa.types.is_map(kind):
        return holds_bytes(kind.key_type) or holds_bytes(kind.item_type)
    if pa.types.is_nested(kind):
        return any(holds_bytes(kind.field(index).type) for index in range(kind.num_fields))
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def _plain(kind: Any) -> Any:
    """Return a type without what says only how its values are stored; a UUID is stored as bytes, and is none."""
    while True:
        if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        elif isinstance(kind, pa.UuidType):
            return pa.string()
        elif isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        else:
            return kind


def cell_of(name: str, kind: Any) -> Cell:
    """Return the function that makes JSON of the values of a column.

    Args:
        name: The column, for messages.
        kind: Its type in Arrow.

    Raises:
        UnreadableError: If JSON has nothing for values of that type.
    """
    inner = _plain(kind)
    if isinstance(kind, pa.UuidType):
        return lambda value: None if value is None else str(value)
    if pa.types.is_map(inner):
        of_key, of_item = cell_of(name, inner.key_type), cell_of(name, inner.item_type)
        return lambda value: None if value is None else _mapping(name, value, of_key, of_item)
    if pa.types.is_struct(inner):
        fields = {field.name: cell_of(name, field.type) for field in inner}
        if len(fields) != inner.num_fields:
            raise UnreadableError(f"the column {name!r} has a name twice in {inner}")
        return lambda value: None if value is None else _object(value, fields)
    if pa.types.is_nested(inner) and not pa.types.is_union(inner):
        of_one = cell_of(name, inner.value_type)
        return lambda value: None if value is None else [of_one(one) for one in value]
    if pa.types.is_duration(inner) or pa.types.is_interval(inner) or pa.types.is_union(inner):
        raise UnreadableError(f"the column {name!r} has the type {kind}, for which JSON has nothing")
    return simple


def _object(value: dict[str, Any], fields: dict[str, Cell]) -> dict[str, Any]:
    """Return a struct without its null fields: a struct has every field that any row has."""
    return {name: cell(value[name]) for name, cell in fields.items() if value[name] is not None}


def _mapping(name: str, pairs: list[tuple[Any, Any]], of_key: Cell, of_item: Cell) -> dict[str, Any]:
    found = {str(of_key(key)): of_item(value) for key, value in pairs}
    if len(found) != len(pairs):
        raise UnreadableError(f"the column {name!r} has a map with a key twice")
    return found


def simple(value: Any) -> Any:
    """Return a value as JSON has it: days and times in ISO 8601, decimals as the text of their digits."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    return float(value)


if __name__ == "__main__":
    main()
