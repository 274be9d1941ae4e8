"""A file of an SFTP server from its beginning to its end, asked for ahead of what has been read, in bounded memory.

paramiko's own ``prefetch`` asks from a thread of its own. Where the reader catches up with it, as on a busy machine, it
takes the file for asked for as a whole: the rest is asked for anew, a piece at a time, while everything that the thread
still asks for comes as well, and stays in memory until the file is closed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Protocol, cast

import paramiko
from paramiko.sftp import CMD_DATA, CMD_READ, CMD_STATUS, int64

PIECE_BYTES = 32 << 10
"""What every server sends at once, and paramiko asks for."""
IN_FLIGHT = 64
"""Requests that are out at a time; together they fill the window of a channel."""


class _Requests(Protocol):
    """What paramiko's own files use of an SFTP client."""

    def _async_request(self, asker: object, kind: int, *words: object) -> int: ...

    def _read_response(self) -> object: ...

    def _convert_status(self, message: paramiko.Message) -> None: ...


class ReadAhead:
    """Reads one file; in one thread, like all that asks over its connection."""

    def __init__(self, sftp: paramiko.SFTPClient, file: paramiko.SFTPFile, size_bytes: int) -> None:
        """Ask for nothing yet.

        Args:
            sftp: The connection.
            file: The file, open for reading.
            size_bytes: Its size, as the server shows it: so far it is asked for ahead.
        """
        self._sftp, self._handle, self._size_bytes = cast("_Requests", sftp), file.handle, size_bytes
        self._answers: dict[int, tuple[int, paramiko.Message]] = {}

    def pieces(self) -> Iterator[bytes]:
        """Yield what the file holds, whatever size was shown.

        Raises:
            OSError: If the server refuses, or says something else.
        """
        asked, next_byte, is_whole = deque[tuple[int, int]](), 0, False
        while not is_whole:
            while not asked or (next_byte < self._size_bytes and len(asked) < IN_FLIGHT):
                asked.append((next_byte, self._ask(next_byte, PIECE_BYTES)))  # it may be longer than it was shown
                next_byte += PIECE_BYTES
            at_byte, number = asked.popleft()
            end_byte = at_byte + PIECE_BYTES
            while at_byte < end_byte and (piece := self._answer(number)[: end_byte - at_byte]):
                yield piece
                at_byte += len(piece)
                if at_byte < end_byte:  # a server may send less than it was asked for
                    number = self._ask(at_byte, end_byte - at_byte)
            is_whole = at_byte < end_byte

    def _ask(self, at_byte: int, size_bytes: int) -> int:
        return self._sftp._async_request(self, CMD_READ, self._handle, int64(at_byte), size_bytes)

    def _answer(self, number: int) -> bytes:
        """Return the bytes of an answer; none at the end of the file."""
        while number not in self._answers:
            self._sftp._read_response()
        kind, message = self._answers.pop(number)
        if kind == CMD_DATA:
            return message.get_string()
        if kind != CMD_STATUS:
            raise OSError(f"the SFTP server answered a request for bytes with {kind}")
        try:
            self._sftp._convert_status(message)
        except EOFError:
            return b""
        raise OSError("the SFTP server answered a request for bytes with nothing")

    def _async_response(self, kind: int, message: paramiko.Message, number: int) -> None:
        """Take an answer; paramiko calls this as it reads."""
        if kind == CMD_DATA:  # which may be of 16 MiB, and wait here for its turn
            piece, message = message.get_string()[:PIECE_BYTES], paramiko.Message()
            message.add_string(piece)
            message.rewind()
        self._answers[number] = kind, message
