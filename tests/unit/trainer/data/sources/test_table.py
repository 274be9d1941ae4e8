from __future__ import annotations

import io
from pathlib import Path

import pytest

from trainer.data.sources.row import BadRow, Row
from trainer.data.sources.table import read_table
from trainer.errors import DataError

PATH = Path("train.csv")


def read(text: str, name: str = "train.csv") -> list[Row | BadRow]:
    return list(read_table(PATH, io.BytesIO(text.encode()), name))


def values(text: str, name: str = "train.csv") -> list[dict[str, str]]:
    rows = read(text, name)
    assert not [row for row in rows if isinstance(row, BadRow)]
    return [row.values for row in rows if isinstance(row, Row)]


def refusal(content: bytes) -> str:
    with pytest.raises(DataError) as caught:
        list(read_table(PATH, io.BytesIO(content), "train.csv"))
    assert caught.value.resolution
    return caught.value.message


@pytest.mark.parametrize("cell", ["00721", "NA", "null", "None", "nan", "TRUE", "1e5", " a ", "", "2026-11-29", "=1+1"])
def test_every_cell_stays_the_text_that_it_is(cell: str) -> None:
    assert values(f"prompt,completion\nq,{cell}\n") == [{"prompt": "q", "completion": cell}]


def test_quotation_marks_keep_separators_line_ends_and_themselves() -> None:
    text = 'prompt,completion\r\n"a, ""b""\n\nc","d\re"\r\nf,g "h" i\r\n'

    assert values(text) == [
        {"prompt": 'a, "b"\n\nc', "completion": "d\re"}, {"prompt": "f", "completion": 'g "h" i'}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "prompt,completion\na;b,c\td\n"),
        ("a.csv", "prompt;completion\na;\"c\td\"\n"),
        ("a.csv", "sep=;\nprompt;completion\na;c\td\n"),
        ("a.csv", "prompt\tcompletion\na\t\"c\td\"\n"),
        ("a.tsv", "prompt\tcompletion\na\t\"c\td\"\n"),
        ("a.tab", "prompt\tcompletion\na\t\"c\td\"\n"),
        ("a.csv", '"prompt";"completion"\n"a";"c\td"\n'),
        ("a.csv", "\n\nprompt,completion\na,c\td\n\n\n"),
        ("a.csv", "prompt , completion\na,c\td"),
    ],
)  # fmt: skip
def test_the_header_shows_what_separates_the_cells(name: str, text: str) -> None:
    assert [row["completion"] for row in values(text, name)] == ["c\td"]


def test_a_row_has_the_line_on_which_it_begins() -> None:
    rows = read('a,b\n"1\n2",3\n\n4,5\n6\n7,8,9\n"x","y"\n')

    assert [row.number for row in rows] == [2, 5, 6, 7, 8]
    bad = [(row.number, row.problem) for row in rows if isinstance(row, BadRow)]
    assert bad == [(6, "has 1 cells, but the header has 2"), (7, "has 3 cells, but the header has 2")]


def test_a_column_without_a_name_is_no_key() -> None:
    assert values(",prompt,completion\n0,a,b\n1,c,d\n") == [
        {"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": "d"}
    ]  # fmt: skip


def test_text_in_a_column_without_a_name_is_not_dropped() -> None:
    assert values("prompt,completion,\na,b,\nc,d,look\n") == [
        {"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": "d", "Unnamed: 2": "look"}
    ]  # fmt: skip


def test_a_cell_may_be_long() -> None:
    assert values(f"a,b\n{'x' * 200_000},1\n") == [{"a": "x" * 200_000, "b": "1"}]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a,b,a\n1,2,3\n", "1 names two columns 'a'"),
        (b'a,b\n1,2\n"3,4\n5,6\n', "3 is not valid CSV: unexpected end of data"),
        (b'a,b\n1,2\n"3"x,4\n', "3 is not valid CSV: ',' expected after '\"'"),
        (b"a,b\n1,caf\xe9\n", "1 or soon after is not UTF-8 text (byte 0xe9)"),
    ],
)
def test_a_table_that_cannot_be_divided_into_cells_is_refused(content: bytes, problem: str) -> None:
    assert refusal(content) == f"data: train.csv:{problem}"
