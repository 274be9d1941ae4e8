"""A GGUF file's header is read once, and again when the file has changed."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFEndian, GGUFReader, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES

from trainer.base_model import gguf_header
from trainer.base_model.gguf_header import read_header
from trainer.errors import BaseModelError
from trainer.files import cache_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOUSE_CACHE", str(tmp_path / "cache"))
    return cache_folder() / "gguf"


def write(path: Path, blocks: int) -> Path:
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(blocks)
    writer.add_token_list(["a", "ä", "\u0120b"])
    writer.add_token_scores([0.0, 1.0, 2.0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_header_has_what_the_file_says(tmp_path: Path) -> None:
    header = read_header(write(tmp_path / "m.gguf", 3))

    assert (header["general.architecture"], header["llama.block_count"], header["tensors"]) == ("llama", 3, [])
    assert header["tokenizer.ggml.tokens"] == ["a", "ä", "\u0120b"]
    assert "tokenizer.ggml.scores" not in header


def test_it_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "m.gguf", 3)
    first = read_header(path)
    monkeypatch.setattr(gguf_header, "_read", lambda path: pytest.fail("it was read again"))

    assert read_header(path) == first


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    read_header(write(tmp_path / "m.gguf", 3))

    assert read_header(write(tmp_path / "m.gguf", 30))["llama.block_count"] == 30


@pytest.mark.parametrize("text", ["{", ""])
def test_a_broken_cache_is_made_anew(text: str, tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path / "m.gguf", 3)
    read_header(path)
    (kept,) = cache.iterdir()
    kept.write_text(text)

    assert read_header(path)["llama.block_count"] == 3


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("in the way")

    assert read_header(write(tmp_path / "m.gguf", 3))["llama.block_count"] == 3


@pytest.mark.parametrize("content", [None, b"GGUF\x03\0\0\0", b"no such thing"])
def test_what_is_no_gguf_file_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(BaseModelError, match="is not a whole GGUF file"):
        read_header(path)


def rich(path: Path, endianess: GGUFEndian = GGUFEndian.LITTLE) -> Path:
    """A file with a value of every kind, and tensors of two types behind a header that is not aligned by itself."""
    writer = GGUFWriter(path, "llama", endianess=endianess)
    writer.add_uint8("of.uint8", 200)
    writer.add_int8("of.int8", -100)
    writer.add_uint16("of.uint16", 60_000)
    writer.add_int16("of.int16", -30_000)
    writer.add_uint32("of.uint32", 4_000_000_000)
    writer.add_int32("of.int32", -2_000_000_000)
    writer.add_uint64("of.uint64", 2**63 + 1)
    writer.add_int64("of.int64", -(2**62))
    writer.add_float32("of.float32", 0.1)
    writer.add_float64("of.float64", 0.1)
    writer.add_bool("of.bool", True)
    writer.add_string("of.string", "ä\n\u0120")
    writer.add_array("of.numbers", [1, -2, 3])
    writer.add_array("of.floats", [0.5, 1.5])
    writer.add_array("of.truths", [True, False])
    writer.add_token_list(["a", "ä", ""])
    writer.add_tensor("one", np.zeros((3, 5), dtype=np.float32))
    writer.add_tensor("two", np.zeros((2, 34), dtype=np.uint8), raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def of_the_library(path: Path) -> dict[str, object]:
    reader = GGUFReader(path)
    return {name: field.contents() for name, field in reader.fields.items()} | {
        "tensors": [tensor.name for tensor in reader.tensors]
    }


@pytest.mark.parametrize("endianess", list(GGUFEndian))
def test_it_reads_what_the_library_reads(endianess: GGUFEndian, tmp_path: Path) -> None:
    path = rich(tmp_path / "m.gguf", endianess)

    header = read_header(path)

    assert header == of_the_library(path)
    assert (header["of.uint64"], header["of.string"], header["tensors"]) == (2**63 + 1, "ä\n\u0120", ["one", "two"])


def test_it_knows_the_size_of_every_type_of_tensor_that_the_library_knows() -> None:
    assert {int(kind): size for kind, size in GGML_QUANT_SIZES.items()} == gguf_header.BLOCKS


def test_a_file_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = rich(tmp_path / "m.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    last_data = GGUFReader(tmp_path / "m.gguf").tensors[-1]
    end = last_data.data_offset + last_data.n_bytes

    for size in (0, 3, 10, 24, 40, 200, end // 2, last_data.data_offset, end - 1):
        cut.write_bytes(whole[:size])
        with pytest.raises(BaseModelError, match="is not a whole GGUF file"):
            read_header(cut)
    cut.write_bytes(whole[:end])
    assert read_header(cut)["tensors"] == ["one", "two"]


def test_an_array_that_claims_to_be_huge_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 4, 2**60))

    with pytest.raises(BaseModelError) as caught:
        read_header(path)

    assert caught.value.details == "it ends at byte 49, within its header"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (struct.pack("<IQQ", 1, 0, 0), "its format has version 1"),
        (struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"k", 13), "it holds a value of the unknown kind 13"),
        (struct.pack("<IQQ", 3, 0, 2) + 2 * struct.pack("<Q1sIB", 1, b"k", 0, 7), "k stands in it twice"),
        (struct.pack("<IQQ", 3, 2, 0) + 2 * struct.pack("<Q1sIQIQ", 1, b"t", 1, 1, 24, 0) + bytes(99),
         "two tensors have the same name"),
        (struct.pack("<IQQQ17sII", 3, 0, 1, 17, b"general.alignment", 4, 0), "its alignment is 0"),
        (struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q1sI", 1, b"k", 9) + 5000 * struct.pack("<IQ", 9, 1),
         "maximum recursion depth exceeded"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said(body: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + body)

    with pytest.raises(BaseModelError) as caught:
        read_header(path)

    assert words in str(caught.value.details)
