from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools.examples import examples
from trainer import files
from trainer.files import (
    NotAnObjectError,
    indented,
    parse_object,
    read_json,
    sha256_of_file,
    sha256_of_unchanged,
    write_atomically,
    write_json,
)


def test_a_written_file_is_whole_and_leaves_no_part(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"one")
    write_atomically(tmp_path / "a", b"two")

    assert (tmp_path / "a").read_bytes() == b"two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "a", b"old")
    monkeypatch.setattr("trainer.files.os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))

    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "a", b"new")

    assert (tmp_path / "a").read_bytes() == b"old"


ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be")
NAMES = st.text() | st.integers() | st.booleans() | st.none() | st.floats()
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(), inner) | st.dictionaries(NAMES, inner) | st.tuples(inner)
    ),
)


@given(PLAIN)
@examples(300)
def test_indented_json_is_that_of_python(value: object) -> None:
    assert indented(value) == json.dumps(value, indent=2, ensure_ascii=False)


@given(st.dictionaries(st.text(), st.text() | st.floats(allow_nan=False)), st.sampled_from(ENCODINGS))
@examples(300)
def test_an_object_is_read_as_python_reads_it(value: dict[str, object], encoding: str) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False), f" {json.dumps(value)}"):
        content = text.encode(encoding, "surrogatepass")
        assert parse_object(content) == json.loads(content) == value


@pytest.mark.parametrize("content", [b"{", b"{}x", b'{"a": \xff}', b"", b"{\0", b"\xef\xbb\xbf{"])
def test_what_python_cannot_read_is_no_object(content: bytes) -> None:
    with pytest.raises(ValueError, match=re.escape(_refusal(content))):
        parse_object(content)


@pytest.mark.parametrize("value", [{"a": [Path("b")]}, [{1, 2}], {("a",): 1}], ids=repr)
def test_what_is_no_plain_data_is_refused_as_python_refuses_it(value: object) -> None:
    with pytest.raises(TypeError):
        json.dumps(value)
    with pytest.raises(TypeError):
        indented(value)


def test_json_reads_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"ü": 1})

    assert read_json(tmp_path / "a.json") == {"ü": 1}


def test_a_file_is_read_once_for_its_sum_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(files, "sha256_of_file", lambda path: [read.append(path), sha256_of_file(path)][1])
    path = tmp_path / "a"
    path.write_bytes(b"one")

    assert sha256_of_unchanged(path) == sha256_of_unchanged(path) == hashlib.sha256(b"one").hexdigest()
    assert read == [path]

    path.write_bytes(b"other")

    assert sha256_of_unchanged(path) == hashlib.sha256(b"other").hexdigest()


@pytest.mark.parametrize("content", ["", "{", "[1]", "7", "[" * 100_000, '{"a":' * 100_000])
def test_broken_or_foreign_json_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)

    assert read_json(tmp_path / "a.json") is None


def test_what_is_no_object_is_distinguished_from_what_is_no_json() -> None:
    with pytest.raises(NotAnObjectError):
        parse_object("[1]")
    for text in ("", "{", b"\xff\xfe\x00", "[" * 100_000):
        with pytest.raises(ValueError, match=r".") as caught:
            parse_object(text)
        assert not isinstance(caught.value, NotAnObjectError)


def test_missing_json_is_none(tmp_path: Path) -> None:
    assert read_json(tmp_path / "a.json") is None


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")

    assert sha256_of_file(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def _refusal(content: bytes) -> str:
    try:
        return f"{json.loads(content)} was read"
    except ValueError as err:
        return str(err)
