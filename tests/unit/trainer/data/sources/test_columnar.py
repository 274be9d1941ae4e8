from __future__ import annotations

from pathlib import Path

import pytest

from trainer import files
from trainer.data.sources.columnar import has_rows, is_columnar, keep_rows
from trainer.data.sources.reader import read_blocks
from trainer.data.sources.row import BadRow, Row
from trainer.errors import EXIT_USAGE, DataError
from trainer.files import sha256_of_file

PARQUET = b"PAR1\x15\x04 a table PAR1"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOUSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A file that begins as Parquet does, whose two rows are kept; pyarrow is not needed for that."""
    path, lines = tmp_path / "x.parquet", tmp_path / "rows.jsonl"
    path.write_bytes(PARQUET)
    lines.write_text('{"prompt": "a", "photo": null}\n{"prompt": "b", "photo": null}\n')
    keep_rows(path, lines, ["photo"])
    return path


def rows_of(path: Path, *ignored: str) -> list[Row | BadRow]:
    return [row for block in read_blocks(path, "data.train_path", ignored) for row in block.rows()]


@pytest.mark.parametrize("head", [PARQUET, b"ARROW1\x00\x00\xff\xff", b"\xff\xff\xff\xff\xa8\x04\x00\x00"])
def test_a_table_is_known_by_its_first_bytes(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "x").write_bytes(head)

    assert is_columnar(tmp_path / "x")


@pytest.mark.parametrize(
    ("head", "row"),
    [
        (b"PAR1,PAR2\n1,2\n", {"PAR1": "1", "PAR2": "2"}),
        (b"parent,orc\n1,2\n", {"parent": "1", "orc": "2"}),
        (b"ORC,Obj\n1,2\n", {"ORC": "1", "Obj": "2"}),
    ],
)
def test_a_header_that_begins_with_such_words_is_text(tmp_path: Path, head: bytes, row: dict[str, str]) -> None:
    (tmp_path / "x.csv").write_bytes(head)

    assert rows_of(tmp_path / "x.csv") == [Row(tmp_path / "x.csv", 2, row)]


def test_the_rows_that_are_kept_are_those_of_the_file_by_their_numbers(table: Path) -> None:
    assert rows_of(table, "photo") == [
        Row(table, 1, {"prompt": "a", "photo": None}),
        Row(table, 2, {"prompt": "b", "photo": None}),
    ]


def test_a_column_of_bytes_is_refused_by_its_name_unless_it_is_ignored(table: Path) -> None:
    with pytest.raises(DataError) as caught:
        rows_of(table)

    assert caught.value.exit_code == EXIT_USAGE
    assert "x.parquet has bytes in the column photo" in caught.value.message
    assert "data.ignore_keys: [photo]" in caught.value.resolution


def test_rows_are_those_of_the_bytes_that_were_read_not_of_the_name(table: Path) -> None:
    assert has_rows(table)
    table.write_bytes(PARQUET + b"changed")
    assert not has_rows(table)

    with pytest.raises(DataError, match=r"x.parquet is a Parquet or Arrow file, and its rows are not in"):
        rows_of(table, "photo")


def test_a_table_is_read_once_for_what_its_rows_are_kept_under(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(files, "sha256_of_file", lambda path: [read.append(path), sha256_of_file(path)][1])
    path, lines = tmp_path / "x.parquet", tmp_path / "rows.jsonl"
    path.write_bytes(PARQUET)
    lines.write_text('{"prompt": "a"}\n')

    assert not has_rows(path)
    keep_rows(path, lines, [])

    assert rows_of(path) == [Row(path, 1, {"prompt": "a"})]
    assert read == [path]


def test_a_table_without_rows_holds_none(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(PARQUET)
    (tmp_path / "rows.jsonl").write_bytes(b"")
    keep_rows(path, tmp_path / "rows.jsonl", [])

    assert rows_of(path) == []


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"PARE\x15\x04", "an encrypted Parquet file"),
        (b"FEA1\x00\x00", "a Feather file of version 1"),
        (b"ORC\x08\x03", "an ORC file"),
        (b"Obj\x01\x04", "an Avro file"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    ],
)
def test_other_tables_are_refused_by_their_names(tmp_path: Path, head: bytes, name: str) -> None:
    (tmp_path / "x").write_bytes(head)

    with pytest.raises(DataError, match=f"x is {name}"):
        rows_of(tmp_path / "x")


def test_a_packed_table_is_refused_with_what_to_do(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "x.parquet.gz").write_bytes(gzip.compress(PARQUET))

    with pytest.raises(DataError, match=r"x.parquet.gz is a packed Parquet or Arrow file"):
        rows_of(tmp_path / "x.parquet.gz")
