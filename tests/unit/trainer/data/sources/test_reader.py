from __future__ import annotations

import bz2
import codecs
import gzip
import importlib
import json
import lzma
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer.data.sources import opened
from trainer.data.sources.reader import BLOCK_BYTES, BLOCK_ROWS, read_blocks
from trainer.data.sources.row import BadRow, Row
from trainer.errors import EXIT_USAGE, DataError

ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
zstd = importlib.import_module(ZSTD)
SAMPLES = [{"prompt": f"Wie heißt {n}?", "completion": f"日本 {n} 🙂"} for n in range(3)]
LINES = "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in SAMPLES).encode()


def rows_of(path: Path) -> list[Row | BadRow]:
    return [row for block in read_blocks(path, "data.train_path") for row in block.rows()]


def values_of(folder: Path, name: str, content: bytes) -> list[dict[str, Any]]:
    path = folder / name
    path.write_bytes(content)
    rows = rows_of(path)
    assert not [row for row in rows if isinstance(row, BadRow)]
    return [row.values for row in rows if isinstance(row, Row)]


def refusal(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        rows_of(path)
    assert caught.value.exit_code == EXIT_USAGE
    assert "\n" not in caught.value.message
    assert caught.value.resolution
    return caught.value


@pytest.mark.parametrize(
    "pack",
    [bytes, gzip.compress, zstd.compress, bz2.compress, lzma.compress],
    ids=["plain", "gzip", "zstd", "bzip2", "xz"],
)
@pytest.mark.parametrize("name", ["train.jsonl", "train.jsonl.gz", "train.json.zst", "train", "train.txt"])
def test_packed_files_are_read_whatever_they_are_called(
    tmp_path: Path, pack: Callable[[bytes], bytes], name: str
) -> None:
    assert values_of(tmp_path, name, pack(LINES)) == SAMPLES


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(SAMPLES),
        json.dumps(SAMPLES, indent=2),
        "\n[\n" + ",\n".join(json.dumps(sample) for sample in SAMPLES) + "\n]\n",
        "\n".join(json.dumps(sample, indent=1) for sample in SAMPLES),
        "".join(json.dumps(sample) for sample in SAMPLES),
        "".join(json.dumps(sample, indent=4) for sample in SAMPLES),
        "\n".join(json.dumps([sample]) for sample in SAMPLES[:1]) + json.dumps(SAMPLES[1:], indent=2),
        "\r\n".join(json.dumps(sample) for sample in SAMPLES),
        "\r".join(json.dumps(sample) for sample in SAMPLES),
    ],
    ids=["array", "indented array", "array of lines", "objects over lines", "one line", "joined", "two arrays",
         "windows", "old mac"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["train.json", "train.jsonl"])
def test_json_is_read_however_it_is_laid_out(tmp_path: Path, name: str, text: str) -> None:
    assert values_of(tmp_path, name, text.encode()) == SAMPLES


@pytest.mark.parametrize("name", ["train.jsonl", "train.csv"])
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_a_byte_order_mark_says_how_the_text_is_read(tmp_path: Path, mark: bytes, encoding: str, name: str) -> None:
    rows = "".join(f"{sample['prompt']},{sample['completion']}\n" for sample in SAMPLES)
    text = LINES.decode() if name == "train.jsonl" else f"prompt,completion\n{rows}"

    assert values_of(tmp_path, name, mark + text.encode(encoding)) == SAMPLES
    assert values_of(tmp_path, name, gzip.compress(mark + text.encode(encoding))) == SAMPLES


def test_a_table_that_holds_json_lines_is_read_as_what_it_is(tmp_path: Path) -> None:
    assert values_of(tmp_path, "train.csv", LINES) == SAMPLES


def test_many_blocks_keep_the_order_and_the_numbers_of_the_lines(tmp_path: Path) -> None:
    samples = [{"prompt": str(n), "completion": "x" * (n % 7) * 1000} for n in range(2 * BLOCK_ROWS)]
    lines, array, table = (tmp_path / name for name in ("a.jsonl", "a.json", "a.csv"))
    lines.write_text("\n".join(json.dumps(sample) for sample in samples))
    array.write_text("[" + "\n,".join(json.dumps(sample) for sample in samples) + "]")
    table.write_text("prompt,completion\n" + "\n".join(f"{one['prompt']},{one['completion']}" for one in samples))

    expected = [(number, sample) for number, sample in enumerate(samples, start=1)]
    for path, header in ((lines, 0), (array, 0), (table, 1)):
        assert len(list(read_blocks(path, "data.train_path"))) >= 2
        rows = [row for row in rows_of(path) if isinstance(row, Row)]
        assert [(row.number - header, row.values) for row in rows] == expected


def test_a_line_may_be_longer_than_a_block(tmp_path: Path) -> None:
    sample = {"prompt": "a", "completion": "x" * (2 * BLOCK_BYTES)}
    line = json.dumps(sample)

    assert values_of(tmp_path, "a.jsonl", f"{line}\n{line}".encode()) == [sample, sample]


def test_a_line_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.data.sources.reader.MOST_ROW_BYTES", BLOCK_BYTES)
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": "' + "x" * 3 * BLOCK_BYTES)

    assert refusal(path).message == f"data: {path}:2 has more than 1 MiB"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer, not the file itself"),
        (b"/annex/objects/SHA256E-s1--00.jsonl\n", "a git-annex pointer, not the file itself"),
        (b"<!DOCTYPE html>\n<html></html>", "an HTML page, not a file of samples"),
        (b"\n  <html lang='en'>", "an HTML page, not a file of samples"),
        (b"<!-- saved -->\n<!-- again -->\n<html>", "an HTML page, not a file of samples"),
        (gzip.compress(gzip.compress(b'{"a": 1}', mtime=0), mtime=0), "packed twice"),
        (gzip.compress(bz2.compress(b'{"a": 1}'), mtime=0), "packed twice"),
        (codecs.BOM_UTF8 + b"<html>", "an HTML page, not a file of samples"),
        (b"<?xml version='1.0'?><Error/>", "an XML document"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"PK\x03\x04\x14\0train.jsonl", "a zip archive"),
        (b"PK\x03\x04\x14\0\x08[Content_Types].xml", "an Excel workbook or another Office document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (such as .xls)"),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
        (b"Rar!\x1a\x07\x01", "a RAR archive"),
        (b"train.jsonl".ljust(257, b"\0") + b"ustar\x0000", "a tar archive"),
        (gzip.compress(b"train.jsonl".ljust(257, b"\0") + b"ustar  \0", mtime=0), "a tar archive"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"GGUF\x03\0\0\0", "a GGUF model, not a file of samples"),
        (b"\x80\x04\x95", "a Python pickle"),
        (b"\x89PNG\r\n\x1a\n", "an image"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["train.jsonl", "train.csv"])
def test_what_holds_no_samples_is_refused_by_its_name(tmp_path: Path, content: bytes, what: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    assert refusal(path).message == f"data: {path} is {what}"


def test_utf16_without_a_mark_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(LINES.decode().encode("utf-16-le"))

    assert refusal(path).message == f"data: {path} seems to be UTF-16 text without a byte order mark"


def test_broken_utf16_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(codecs.BOM_UTF16_LE + '{"a": 1}'.encode("utf-16-le") + b"\x00")

    assert "begins with the mark of UTF-16-LE and is not UTF-16-LE text" in refusal(path).message


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("damage", [lambda packed: packed[:-9], lambda packed: packed[:12] + b"\xff" * 9 + packed[21:]])
def test_a_packed_file_that_is_cut_or_damaged_is_refused(
    tmp_path: Path, pack: Callable[[bytes], bytes], damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "train.jsonl.gz"
    path.write_bytes(damage(pack(LINES + os.urandom(99).hex().encode() * 20)))

    assert refusal(path).message.startswith(f"data: {path} is cut or damaged: it cannot be unpacked (")


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_file_that_unpacks_without_an_end_is_refused(
    tmp_path: Path, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened, "MOST_UNPACKED_BYTES", 2**16)
    monkeypatch.setattr(opened, "MOST_UNPACKED_RATIO", 10)
    path = tmp_path / "train.jsonl.gz"
    path.write_bytes(pack(b'{"a": 1}\n' * 20_000))

    assert refusal(path).message == f"data: {path} unpacks to more than 0.0 GiB, far more than text would"


def test_what_is_no_file_is_refused_with_the_key_that_names_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert refusal(tmp_path / "none.jsonl").message == f"data: {tmp_path}/none.jsonl does not exist"
    assert refusal(tmp_path / "none.jsonl").resolution == "set data.train_path to an existing .jsonl file"
    assert refusal(tmp_path).message == f"data: {tmp_path} is a folder, not a file"
    assert str(tmp_path / "train.jsonl") in refusal(tmp_path).resolution
    assert refusal(tmp_path / "pipe").message == f"data: {tmp_path}/pipe is a pipe or a device, not a file"


@pytest.mark.parametrize("content", [b"", b"\n \n", codecs.BOM_UTF8, gzip.compress(b"", mtime=0), b"[]", b"[\n]\n"])
@pytest.mark.parametrize("name", ["train.jsonl", "train.csv"])
def test_a_file_may_be_empty(tmp_path: Path, content: bytes, name: str) -> None:
    assert values_of(tmp_path, name, content) == []


def test_zstd_without_its_package_is_refused_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "train.jsonl.zst"
    path.write_bytes(zstd.compress(LINES))
    monkeypatch.setitem(sys.modules, ZSTD, None)

    assert "zstd -d" in refusal(path).resolution
