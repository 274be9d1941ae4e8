"""A file that is hashed while its parts come: in any order, some of them twice."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools.examples import examples
from trainer.checkpoints.hashed_file import PIECE_BYTES, HashedFile


def write(path: Path, content: bytes, parts: list[tuple[int, int]]) -> str | None:
    with HashedFile.at(path) as file:
        for begin, end in parts:
            assert file.seek(begin) == begin
            assert file.write(content[begin:end]) == end - begin
    return file.sha256


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=30), seed=st.integers(0, 2**32), again=st.booleans())
@examples(200)
def test_any_order_of_parts_gives_the_sha256_of_the_file_and_one_that_comes_twice_gives_none(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], seed: int, again: bool
) -> None:
    chance, path = random.Random(seed), tmp_path_factory.mktemp("hashed") / "file"
    content = chance.randbytes(sum(lengths))
    ends = [sum(lengths[: number + 1]) for number in range(len(lengths))]
    parts = list(zip([0, *ends], ends, strict=False))
    chance.shuffle(parts)
    if again:
        parts.append(chance.choice(parts))

    assert write(path, content, parts) == (None if again else hashlib.sha256(content).hexdigest())
    assert path.read_bytes() == content


def test_what_comes_early_is_hashed_in_pieces(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(3 * PIECE_BYTES + 5)

    assert write(tmp_path / "file", content, [(7, len(content)), (0, 7)]) == hashlib.sha256(content).hexdigest()


def test_one_with_a_gap_has_none(tmp_path: Path) -> None:
    assert write(tmp_path / "file", bytes(10), [(0, 3), (4, 10)]) is None


def test_parts_of_which_one_lies_in_another_give_none(tmp_path: Path) -> None:
    assert write(tmp_path / "file", bytes(10), [(2, 8), (4, 10), (0, 2)]) is None


def test_writes_without_a_seek_go_on_where_the_last_one_ended(tmp_path: Path) -> None:
    with HashedFile.at(tmp_path / "file") as file:
        for piece in (b"one", b"two"):
            file.write(piece)

    assert file.sha256 == hashlib.sha256(b"onetwo").hexdigest()


def test_what_has_not_come_as_a_whole_is_removed(tmp_path: Path) -> None:
    def break_off() -> None:
        with HashedFile.at(tmp_path / "file") as file:
            file.write(b"one")
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        break_off()
    assert list(tmp_path.iterdir()) == []
