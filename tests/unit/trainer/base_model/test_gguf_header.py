"""A GGUF file's header is read once, and again when the file has changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf import GGUFWriter

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
