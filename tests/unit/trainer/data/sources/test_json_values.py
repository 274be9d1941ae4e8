from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from trainer.data.sources import json_values
from trainer.data.sources.json_values import is_one_object_a_line, read_json_values
from trainer.data.sources.row import BadRow, Row
from trainer.errors import DataError

PATH = Path("train.json")


def read(text: str) -> list[Row | BadRow]:
    return list(read_json_values(PATH, io.BytesIO(text.encode())))


def refusal(text: bytes) -> str:
    with pytest.raises(DataError) as caught:
        list(read_json_values(PATH, io.BytesIO(text)))
    return caught.value.message


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b'{"a": 1}\n{"a": 2}\n', True),
        (b'{"a": 1}', True),
        (b'{"a": \n{"a": 2}\n', True),
        (b'{"a": oops}\n{"a": oops}\n', True),
        (b"[1, 2]\n[3]\n", True),
        (b"hello\n", True),
        (b"", True),
        (b'{"id": ' + b"9" * 5000 + b'}\n{"a": 1}', True),
        (b'[{"a": 1}]', False),
        (b'[\n{"a": 1},\n{"a": 2}\n]', False),
        (b'{\n  "a": [\n    {"b": 1}\n  ]\n}\n{\n  "a": 1\n}', False),
        (b'{\n"a":\n{"b": 1},\n"c": [', False),
    ],
)
def test_json_lines_are_told_from_other_json_by_their_beginning(head: bytes, expected: bool) -> None:
    assert is_one_object_a_line(head) is expected


def test_a_row_has_the_line_on_which_it_begins() -> None:
    rows = read('[\n  {"a":\n 1},\n\n  {"a": 2, "a": 3}, {"a": 4}]\n{"a": 5}')

    assert rows == [
        Row(PATH, 2, {"a": 1}), Row(PATH, 5, {"a": 3}, "a"), Row(PATH, 5, {"a": 4}), Row(PATH, 6, {"a": 5})
    ]  # fmt: skip


def test_what_is_no_object_is_a_bad_row_and_spoils_no_other() -> None:
    rows = read('[{"a": 1}, 2, "b", null, [{"a": 3}],\n{"id": ' + "9" * 5000 + '}, {"a": 4}]')

    assert [row.problem for row in rows if isinstance(row, BadRow)] == [
        "is a JSON number, not an object",
        "is a JSON string, not an object",
        "is a JSON null, not an object",
        "is a JSON list, not an object",
        "holds a number of too many digits to be read",
    ]
    assert [row.values for row in rows if isinstance(row, Row)] == [{"a": 1}, {"a": 4}]
    assert [row.number for row in rows] == [1, 1, 1, 1, 1, 2, 2]


def test_values_are_whole_wherever_a_reading_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [{"a": 'é日🙂\\" ' * n, "n": [10**n, -1.5e-3, True, None]} for n in range(9)]
    for step in (1, 2, 3, 7, 64):
        monkeypatch.setattr(json_values, "_STEP", step)
        for text in (json.dumps(samples, ensure_ascii=False), json.dumps(samples, indent=1)):
            assert [row.values for row in read(text) if isinstance(row, Row)] == samples


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'[{"a": 1},\n {"a" 2}]', "2 column 7: not valid JSON: Expecting ':' delimiter"),
        (b'[{"a": 1}\n{"a": 2}]', "2 column 1: '{' stands where a comma or the end of the array should be"),
        (b'[{"a": 1},\n]', "2 column 1: there is a comma before the end of the array"),
        (b'[{"a": 1}', "1 column 10: the file ends where a comma or the end of the array should be"),
        (b'[{"a": 1},', "1 column 11: the file ends within a JSON array"),
        (b'[{"a": 1},\n{"b": "c', "2 column 7: not valid JSON: Unterminated string starting at"),
        (b'[{"a": "caf\xe9"}]', "1 column 1: the text after this place is not UTF-8 (byte 0xe9)"),
        (b"[" + b'{"a": ' * 100_000, "1 column 2: is nested too deeply"),
    ],
)
def test_text_that_is_no_json_is_refused_by_its_place(text: bytes, problem: str) -> None:
    assert refusal(text) == f"data: train.json:{problem}"


def test_a_value_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_values, "MOST_ROW_BYTES", 2**20)

    assert refusal(b'[\n{"a": "' + b"x" * 2**23) == (
        "data: train.json:2 column 1: more than 1 MiB without the end of a JSON value"
    )
