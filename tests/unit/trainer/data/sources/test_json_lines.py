from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer.data.sources.json_lines import read_json_lines
from trainer.data.sources.row import BadRow, Row

PATH = Path("train.jsonl")


def test_blank_lines_and_windows_line_ends_are_passed_over() -> None:
    rows = list(read_json_lines(PATH, b'{"a": 1}\r\n\r\n  \n{"a": 2}', first=5))

    assert rows == [Row(PATH, 5, {"a": 1}), Row(PATH, 8, {"a": 2})]


def test_a_mark_at_the_beginning_of_any_line_is_passed_over() -> None:
    rows = list(read_json_lines(PATH, '{"a": 1}\n\ufeff{"a": "\ufeff"}\n \ufeff {"a": 3}'.encode()))

    assert rows == [Row(PATH, 1, {"a": 1}), Row(PATH, 2, {"a": "\ufeff"}), Row(PATH, 3, {"a": 3})]


@pytest.mark.parametrize(
    ("line", "resolution"),
    [
        ("{'a': 1}", "json.dumps"),
        ('{"a": None}', "json.dumps"),
        ('{"a": True}', "json.dumps"),
        ('{"a": 1},', "the commas between the objects"),
        ('{"a": }', "on one line as a whole JSON object"),
    ],
)
def test_the_way_out_of_text_that_is_no_json_names_its_notation(line: str, resolution: str) -> None:
    *_, bad = read_json_lines(PATH, line.encode())

    assert isinstance(bad, BadRow)
    assert resolution in bad.resolution


def test_only_a_line_feed_ends_a_line() -> None:
    values = {"a": "b\u2028c\x85d"}

    assert list(read_json_lines(PATH, json.dumps(values, ensure_ascii=False).encode())) == [Row(PATH, 1, values)]


def test_objects_that_follow_one_another_on_a_line_are_rows_of_that_line() -> None:
    rows = list(read_json_lines(PATH, b'{"a": 1}{"a": 2} \t{"a": 3}\n{"a": 4}'))

    assert [(row.number, row.values) for row in rows if isinstance(row, Row)] == [
        (1, {"a": 1}),
        (1, {"a": 2}),
        (1, {"a": 3}),
        (2, {"a": 4}),
    ]


def test_a_key_that_stands_twice_is_noted_and_its_last_value_is_read() -> None:
    rows = list(read_json_lines(PATH, b'{"a": 1, "b": [{"c": 1, "d": 2, "c": 3}]}\n{"a": 1}'))

    assert rows == [Row(PATH, 1, {"a": 1, "b": [{"c": 3, "d": 2}]}, "c"), Row(PATH, 2, {"a": 1})]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"messages": [}', "is not valid JSON at column 15: Expecting value"),
        (b'{"messages":', "is not valid JSON at column 13: Expecting value"),
        (b'{"a": 1},', "is not valid JSON at column 9: Expecting value"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"[1, 2]", "is a JSON list, not an object"),
        (b"null", "is a JSON null, not an object"),
        (b'{"prompt": "caf\xe9"}', "is not UTF-8 text (byte 16 of the line)"),
        (b'{"id": ' + b"9" * 5000 + b"}", "holds a number of too many digits to be read"),
    ],
)
def test_a_line_that_cannot_be_read_is_a_bad_row_and_spoils_no_other(line: bytes, problem: str) -> None:
    first, bad, *others, last = read_json_lines(PATH, b'{"a": 1}\n' + line + b'\n{"a": 2}')

    found = bad if not others else others[-1]
    assert isinstance(found, BadRow)
    assert (found.number, found.problem) == (2, problem)
    assert found.resolution
    assert (first, last) == (Row(PATH, 1, {"a": 1}), Row(PATH, 3, {"a": 2}))
