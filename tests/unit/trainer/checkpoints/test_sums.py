"""Sums beside the files, in a store that is a dictionary and has a clock of its own."""

from __future__ import annotations

import hashlib
import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from trainer.checkpoints import sums as module
from trainer.checkpoints.sums import SUMS_NAME, Sums

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


class CutError(Exception):
    """The program was killed."""


class Store:
    """Files with the times at which they were written; it may be cut off after some writes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.times: dict[str, datetime] = {}
        self.now = NOON
        self.left: int | None = None

    def sums(self) -> Sums:
        """Return sums as a program finds them that starts now."""
        self.left = None
        return Sums(self.read, self.write, dict(self.times))

    def read(self, name: str) -> bytes:
        if name not in self.files:
            raise FileNotFoundError(name)
        return self.files[name]

    def write(self, content: bytes, name: str) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise CutError
        self.files[name], self.times[name] = content, self.now

    def put(self, sums: Sums, name: str, content: bytes) -> None:
        """Put a file there as a place does."""
        sums.before_change(name)
        self.write(content, name)
        sums.note(name, sha256(content), len(content))

    def vouched(self) -> dict[str, bool]:
        """Return the files that anything vouches for, and whether it says what they are."""
        sums = self.sums()
        found = {name: sums.of(name) for name in self.files if not name.endswith(SUMS_NAME)}
        return {name: said == sha256(self.files[name]) for name, said in found.items() if said is not None}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def store() -> Store:
    """A store with two files in each of two folders, and their sums."""
    made = Store()
    sums = made.sums()
    for name in ("a", "b", "in/a", "in/b"):
        made.put(sums, name, name.encode())
    sums.settle()
    return made


def test_what_was_settled_is_vouched_for_by_its_own_folder(store: Store) -> None:
    assert store.vouched() == dict.fromkeys(("a", "b", "in/a", "in/b"), True)
    assert b"in" not in store.files[SUMS_NAME]


def test_nothing_new_writes_nothing(store: Store) -> None:
    sums = store.sums()
    store.left = 0
    sums.keep("a")
    sums.settle()


def test_a_file_that_another_program_replaced_is_not_vouched_for(store: Store) -> None:
    store.now += timedelta(seconds=1)
    store.write(b"other", "in/a")

    assert store.vouched() == {"a": True, "b": True, "in/b": True}
    sums = store.sums()
    store.put(sums, "in/c", b"c")
    sums.settle()
    assert store.vouched() == {"a": True, "b": True, "in/b": True, "in/c": True}, "a new sum must not bless the old"


def test_it_stops_vouching_before_a_file_is_replaced(store: Store) -> None:
    sums = store.sums()
    sums.keep("b")

    sums.before_change("a")

    assert store.vouched() == {"b": True, "in/a": True, "in/b": True}
    sums.settle()
    assert store.vouched() == {"b": True, "in/a": True, "in/b": True}


def test_what_was_written_long_before_a_cut_is_vouched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_UNSAVED_FILES", 3)
    monkeypatch.setattr(module, "MOST_UNSAVED_BYTES", 100)
    store = Store()
    sums = store.sums()
    for name in ("a", "b", "c", "d"):
        store.put(sums, name, b"x")
    assert store.vouched() == {"a": True, "b": True, "c": True}

    store.put(sums, "e", b"x" * 101)

    assert store.vouched() == dict.fromkeys("abcde", True)


def test_sums_that_are_removed_meanwhile_vouch_for_nothing(store: Store) -> None:
    sums = store.sums()
    del store.files[SUMS_NAME]

    assert (sums.of("a"), sums.of("in/a")) == (None, sha256(b"in/a"))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": 1}', b'{"format": 9, "files": {"a": "x"}}', b"\xff"])
def test_sums_that_cannot_be_read_vouch_for_nothing(store: Store, content: bytes) -> None:
    store.write(content, SUMS_NAME)

    assert store.vouched() == {"in/a": True, "in/b": True}


def test_a_cut_at_any_moment_leaves_no_file_that_is_vouched_for_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(200):
        chance, store = random.Random(seed), Store()
        monkeypatch.setattr(module, "MOST_UNSAVED_FILES", chance.randint(1, 5))
        for _ in range(6):
            push_some(store, chance)
            assert all(store.vouched().values()), f"seed {seed}: a wrong sum in {store.files}"


def push_some(store: Store, chance: random.Random) -> None:
    """Put some files there, keep others, and be cut off somewhere or not."""
    sums = store.sums()
    store.left = chance.choice([None, chance.randint(0, 12)])
    with suppress(CutError):
        for name in sorted(chance.sample(["a", "b", "c", "in/a", "in/b"], chance.randint(1, 5))):
            if chance.random() < 0.3:
                sums.keep(name)
            else:
                store.put(sums, name, chance.randbytes(3))
        sums.settle()
