"""A file that is asked for ahead: each byte once, whatever the server sends, and never much of it in memory."""

from __future__ import annotations

import random
import threading
import time
import tracemalloc
from collections import deque
from pathlib import Path
from typing import Any, SupportsIndex, cast

import paramiko
import pytest
from paramiko import SFTP_EOF, SFTP_FAILURE, SFTP_OK
from paramiko.sftp import CMD_ATTRS, CMD_DATA, CMD_STATUS

from runner.adapters.machine import Allowance
from runner.adapters.read_ahead import IN_FLIGHT, PIECE_BYTES, ReadAhead
from tests.unit.runner.adapters.hostile_host import Entry, Tree, hostile_host

PLENTY = Allowance(1 << 30)


class Served(bytes):
    """What a file holds; it counts what of it is sent, and sends so much at a time at most."""

    sent_bytes = 0
    most_bytes = PIECE_BYTES

    def __getitem__(self, which: SupportsIndex | slice) -> Any:
        piece = (
            super().__getitem__(which)[: self.most_bytes] if isinstance(which, slice) else super().__getitem__(which)
        )
        if isinstance(piece, bytes):
            self.sent_bytes += len(piece)
        return piece


def content_of(size_bytes: int) -> Served:
    return Served(random.Random(1).randbytes(size_bytes))


@pytest.mark.enable_socket
def test_each_byte_comes_once_however_late_threads_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """paramiko's own reading ahead lets its reader catch up on a busy machine, and then all comes twice."""
    asks, late = paramiko.SFTPClient._async_request, iter((0.0, 1.0, 1.0))  # type: ignore[attr-defined]

    def ask(sftp: paramiko.SFTPClient, *words: object) -> Any:
        if "prefetch" in threading.current_thread().name:
            time.sleep(next(late, 0.0))
        return asks(sftp, *words)

    monkeypatch.setattr(paramiko.SFTPClient, "_async_request", ask)
    content = content_of(100 * PIECE_BYTES + 7)

    with hostile_host(tmp_path, Tree({"/out": [("a", Entry(content=content))]})) as machine:
        machine.get("/out/a", tmp_path / "a", PLENTY)

    came, sent_bytes = (tmp_path / "a").read_bytes() == content, content.sent_bytes
    assert (came, sent_bytes) == (True, 100 * PIECE_BYTES + 7)


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("size_bytes", "shown_bytes"),
    [(0, 0), (1, 1), (PIECE_BYTES, PIECE_BYTES), (100_000, 1), (100_000, 0), (100_000, 1_000_000), (0, 500_000)],
)
def test_a_file_comes_whole_whatever_size_is_shown(tmp_path: Path, size_bytes: int, shown_bytes: int) -> None:
    content = content_of(size_bytes)
    tree = Tree({"/out": [("a", Entry(content=content, shown_bytes=shown_bytes))]})

    with hostile_host(tmp_path, tree) as machine:
        machine.get("/out/a", tmp_path / "a", PLENTY)

    assert (tmp_path / "a").read_bytes() == content


@pytest.mark.enable_socket
def test_a_server_may_send_less_than_it_was_asked_for(tmp_path: Path) -> None:
    content = content_of(5 * PIECE_BYTES + 11)
    content.most_bytes = 10_000

    with hostile_host(tmp_path, Tree({"/out": [("a", Entry(content=content))]})) as machine:
        machine.get("/out/a", tmp_path / "a", PLENTY)

    assert (tmp_path / "a").read_bytes() == content


class Connection:
    """An SFTP connection that answers in whatever order, with what a test wants; it notes how much is out."""

    def __init__(self, size_bytes: int, *, kind: int = CMD_DATA, status: int = SFTP_EOF, longer: bytes = b"") -> None:
        self.content, self.handle, self.most_out = content_of(size_bytes), b"a-handle", 0
        self._kind, self._status, self._longer = kind, status, longer
        self._asked = deque[tuple[int, Any, int, int]]()
        self._number, self._chance = 0, random.Random(2)

    def _async_request(self, asker: object, kind: int, handle: bytes, at_byte: int, size_bytes: int) -> int:
        assert (kind, handle) == (paramiko.sftp.CMD_READ, self.handle)
        self._number += 1
        self._asked.append((self._number, asker, int(at_byte), size_bytes))
        self.most_out = max(self.most_out, len(self._asked))
        return self._number

    def _read_response(self) -> None:
        self._asked.rotate(self._chance.randrange(len(self._asked)))
        number, asker, at_byte, size_bytes = self._asked.popleft()
        message = paramiko.Message()
        piece = self.content[at_byte : at_byte + size_bytes]
        kind = self._kind if piece else CMD_STATUS
        if kind == CMD_STATUS:
            message.add_int(self._status)
            message.add_string("no more")
        else:
            message.add_string(piece + self._longer)
        message.rewind()
        asker._async_response(kind, message, number)

    def _convert_status(self, message: paramiko.Message) -> None:
        paramiko.SFTPClient._convert_status(cast("Any", self), message)  # type: ignore[attr-defined]


def read(connection: Connection, shown_bytes: int | None = None) -> bytes:
    shown = len(connection.content) if shown_bytes is None else shown_bytes
    return b"".join(ReadAhead(cast("Any", connection), cast("Any", connection), shown).pieces())


def test_answers_come_in_any_order_and_few_are_out_at_a_time() -> None:
    connection = Connection(1000 * PIECE_BYTES + 1)

    assert read(connection) == connection.content
    assert connection.most_out == IN_FLIGHT


def test_who_stops_early_does_not_disturb_who_reads_next() -> None:
    connection = Connection(100 * PIECE_BYTES)
    anybody = cast("Any", connection)

    assert next(ReadAhead(anybody, anybody, len(connection.content)).pieces()) == connection.content[:PIECE_BYTES]
    assert read(connection) == connection.content


def test_more_than_was_asked_for_does_not_count() -> None:
    connection = Connection(10 * PIECE_BYTES, longer=b"evil")

    assert read(connection) == connection.content


def test_more_than_was_asked_for_is_not_kept_until_its_turn_comes() -> None:
    connection = Connection(IN_FLIGHT * PIECE_BYTES, longer=bytes(1 << 20))
    tracemalloc.start()
    try:
        came = read(connection)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert came == connection.content
    assert most_bytes < 16 << 20


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        (CMD_ATTRS, SFTP_EOF, f"answered a request for bytes with {CMD_ATTRS}"),
        (CMD_STATUS, SFTP_OK, "answered a request for bytes with nothing"),
        (CMD_STATUS, SFTP_FAILURE, "no more"),
    ],
)
def test_a_server_that_sends_something_else_is_an_error(kind: int, status: int, words: str) -> None:
    with pytest.raises(OSError, match=words):
        read(Connection(5, kind=kind, status=status))
