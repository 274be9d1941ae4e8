from __future__ import annotations

from pathlib import Path

import pytest

from trainer.data import shelf
from trainer.data.shelf import Shelf, Writer, find_shelf, shelves


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOUSE_CACHE", str(tmp_path))


def written(key: str | None, *parts: bytes) -> Shelf:
    writer = Writer(key)
    for part in parts:
        writer.add({"a": part, "b": b""})
    return writer.finish({"n": [1, "é"]})


def content(found: Shelf | None) -> tuple[bytes, bytes, object]:
    assert found is not None
    return bytes(found.columns["a"]), bytes(found.columns["b"]), found.meta


@pytest.mark.parametrize("key", [None, "k"])
def test_parts_become_columns_in_memory_and_in_files(key: str | None) -> None:
    assert content(written(key, b"one", b"two")) == (b"onetwo", b"", {"n": [1, "é"]})


def test_what_was_kept_is_found_again() -> None:
    written("k", b"one")

    assert content(find_shelf("k")) == (b"one", b"", {"n": [1, "é"]})
    assert find_shelf("other") is None


def test_nothing_is_kept_of_what_was_not_finished() -> None:
    writer = Writer("k")
    writer.add({"a": b"one"})
    assert find_shelf("k") is None

    writer.drop()
    assert list(shelves().iterdir()) == []


@pytest.mark.parametrize("damage", ["changed", "shorter", "missing", "no meta"])
def test_what_is_not_whole_is_not_taken_and_is_written_anew(damage: str) -> None:
    written("k", b"one")
    path = shelves() / "k" / ("meta.json" if damage == "no meta" else "a")
    if damage == "changed":
        path.write_bytes(b"onf")
    elif damage == "shorter":
        path.write_bytes(b"on")
    else:
        path.unlink()

    assert find_shelf("k") is None
    assert content(written("k", b"one"))[0] == b"one"
    written("k", b"one")
    assert content(find_shelf("k"))[0] == b"one"


def test_a_shelf_is_read_on_while_another_process_writes_it_anew() -> None:
    first = written("k", b"one" * 10_000)
    written("k", b"one" * 10_000)

    assert content(first)[0] == b"one" * 10_000


def test_the_oldest_go_when_there_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for age, key in enumerate(("new", "middle", "old")):
        written(key, b"x" * 1000)
        os.utime(shelves() / key / "meta.json", (10_000 - age, 10_000 - age))
    monkeypatch.setattr(shelf, "KEPT_BYTES", 3000)

    written("newest", b"x" * 1000)

    assert {path.name for path in shelves().iterdir()} == {"newest", "new"}


def test_a_cache_that_takes_no_files_leaves_it_to_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DOUSE_CACHE", str(tmp_path / "file"))

    assert content(written("k", b"one"))[0] == b"one"
