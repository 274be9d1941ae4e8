"""Cells of Parquet and Arrow as JSON. These tests run in the development environment, which has pyarrow."""

from __future__ import annotations

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

from runner.adapters.data_sets.read_rows import BATCH_ROWS, UnreadableError, main, write_rows

MOMENT = datetime.datetime(2026, 11, 29, 7, 30, tzinfo=datetime.UTC)
CALLS = pa.list_(pa.struct([("name", pa.string()), ("arguments", pa.map_(pa.string(), pa.int64()))]))


def write(path: Path, table: Any) -> Path:
    """Write a table in the format that the name's ending says."""
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
        return path
    new = pyarrow.ipc.new_stream if path.suffix == ".stream" else pyarrow.ipc.new_file
    with new(str(path), table.schema) as writer:
        writer.write_table(table)
    return path


def rows_of(folder: Path, table: Any, name: str = "x.parquet") -> list[dict[str, Any]]:
    write_rows(write(folder / name, table), folder / "rows.jsonl")
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def cells_of(folder: Path, values: list[Any], kind: Any) -> list[Any]:
    return [row["x"] for row in rows_of(folder, pa.table({"x": pa.array(values, kind)}))]


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "x.stream"])
def test_each_row_is_a_line_in_every_format(tmp_path: Path, name: str) -> None:
    numbers = list(range(2 * BATCH_ROWS + 1))

    assert [row["n"] for row in rows_of(tmp_path, pa.table({"n": numbers}), name)] == numbers


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (pa.string(), "00721", "00721"),
        (pa.string(), "NA", "NA"),
        (pa.large_string(), "日本 🙂\n", "日本 🙂\n"),
        (pa.dictionary(pa.int8(), pa.string()), "red", "red"),
        (pa.uint64(), 2**64 - 1, 2**64 - 1),
        (pa.bool_(), True, True),
        (pa.decimal128(20, 2), decimal.Decimal("12.50"), "12.50"),
        (pa.timestamp("us", tz="UTC"), MOMENT, "2026-11-29T07:30:00+00:00"),
        (pa.timestamp("ns"), 1, "1970-01-01T00:00:00.000000001"),
        (pa.date32(), MOMENT.date(), "2026-11-29"),
        (pa.time64("us"), MOMENT.time(), "07:30:00"),
        (pa.list_(pa.list_(pa.float64())), [[0.5], []], [[0.5], []]),
        (pa.list_(pa.int8(), 2), [1, 2], [1, 2]),
        (CALLS, [{"name": "f", "arguments": [("a", 1), ("b", None)]}],
         [{"name": "f", "arguments": {"a": 1, "b": None}}]),
    ],
    ids=str,
)  # fmt: skip
def test_a_cell_is_what_json_has_for_it(tmp_path: Path, kind: Any, value: Any, expected: Any) -> None:
    assert cells_of(tmp_path, [value, None], kind) == [expected, None]


def test_null_fields_of_a_struct_are_absent_as_each_row_has_the_keys_of_any(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": None, "tool_calls": ["f"]}]

    assert cells_of(tmp_path, [messages], None) == [[messages[0], {"role": "assistant", "tool_calls": ["f"]}]]


def test_columns_of_bytes_are_named_however_deep_they_are(tmp_path: Path) -> None:
    image = pa.array([{"bytes": b"\x89PNG", "path": "x.png"}])
    table = pa.table({"text": ["a"], "image": image, "raw": pa.array([[b"x"]])})

    assert write_rows(write(tmp_path / "x.parquet", table), tmp_path / "rows.jsonl") == ["image", "raw"]
    assert json.loads((tmp_path / "rows.jsonl").read_text()) == {"text": "a", "image": None, "raw": None}


def test_a_column_that_json_has_nothing_for_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="the column 'x' has the type duration"):
        cells_of(tmp_path, [datetime.timedelta(days=1)], pa.duration("s"))


def test_a_map_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="the column 'x' has a map with a key twice"):
        cells_of(tmp_path, [[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64()))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])

    with pytest.raises(UnreadableError, match="it has two columns 'x'"):
        rows_of(tmp_path, table, "x.arrow")


def test_text_that_is_not_utf8_is_refused_with_its_column(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"], pa.binary()).buffers())

    with pytest.raises(UnreadableError, match="the column 'x' holds text that is not UTF-8"):
        rows_of(tmp_path, pa.table({"x": broken}), "x.arrow")


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "x.stream"])
def test_a_cut_file_is_a_problem_in_one_line(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / name, pa.table({"n": list(range(1000))}))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    monkeypatch.setattr("sys.argv", ["read_rows.py", str(path), str(tmp_path / "rows.jsonl")])

    main()

    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["problem"]
