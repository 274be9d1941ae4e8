from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer.data.sources.json_lines import read_json_lines
from trainer.errors import EXIT_USAGE, DataError

PATH = Path("train.jsonl")


def test_blank_lines_byte_order_mark_and_windows_line_ends_are_passed_over() -> None:
    rows = list(read_json_lines(PATH, b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"a": 2}'))

    assert [(row.number, row.values) for row in rows] == [(1, {"a": 1}), (4, {"a": 2})]
    assert rows[1].where == "train.jsonl:4"


def test_only_a_line_feed_ends_a_line() -> None:
    values = {"a": "b\u2028c\x85d"}

    rows = read_json_lines(PATH, json.dumps(values, ensure_ascii=False).encode())

    assert [row.values for row in rows] == [values]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{}\n{"messages": [}', "2 is not valid JSON at column 15: Expecting value"),
        (b'{}\n\n{"messages":', "3 is not valid JSON at column 13: Expecting value"),
        (b"[" * 100_000, "1 is nested too deeply"),
        (b"[1, 2]", "1 is a JSON list, not an object"),
        (b"null", "1 is a JSON null, not an object"),
        (b'{}\n{"prompt": "caf\xe9"}\n', "2 is not UTF-8 text (byte 16 of the line)"),
    ],
)
def test_line_that_is_no_object_is_refused_by_its_number(content: bytes, problem: str) -> None:
    with pytest.raises(DataError) as caught:
        list(read_json_lines(PATH, content))

    assert caught.value.message == f"data: train.jsonl:{problem}"
    assert caught.value.exit_code == EXIT_USAGE
    assert caught.value.resolution
