"""A connection that speaks as much HTTP/1.1 as the answers of a store need, and no more.

Whatever is put in another way than a length and as many bytes is ``UnreadableError``: it is left to a library. Python's
own ``http.client`` reads the head of an answer with the parser of e-mails, a third of what a small object takes.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

from trainer.checkpoints.turns import has_turn, waiting

A = TypeVar("A")
R = TypeVar("R")
TIMEOUT_S = 60
MOST_HEAD_BYTES = 1 << 16
MOST_DIGITS = 18
HTTPS_PORT, HTTP_PORT = 443, 80


class UnreadableError(ValueError):
    """An answer that is not understood here."""


class Connection:
    """A connection to a server; whoever waits for it lets other threads go on (``turns``)."""

    def __init__(self, host: str, tls: ssl.SSLContext | None) -> None:
        """Connect.

        Args:
            host: With its port, if that is not the usual one.
            tls: By what the server is judged; ``None`` for a connection without TLS.

        Raises:
            OSError: If that fails.
        """
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname or "", parts.port or (HTTP_PORT if tls is None else HTTPS_PORT)
        self._rest = b""
        with waiting():
            plain = socket.create_connection((name, port), timeout=TIMEOUT_S)
            try:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._socket = plain if tls is None else tls.wrap_socket(plain, server_hostname=name)
            except BaseException:
                plain.close()
                raise

    def ask(self, method: str, path: str, headers: Mapping[str, str], content: bytes) -> tuple[int, dict[str, str]]:
        """Make a request; return the status of the answer, and its headers by names in lower case.

        Raises:
            OSError: If the connection broke.
            UnreadableError: If the answer is not understood.
        """
        named = {**headers, "accept-encoding": "identity"}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
        if content or method == "PUT":
            lines.append(f"content-length: {len(content)}")
        self._socket.settimeout(0.0 if has_turn() else TIMEOUT_S)  # without a turn it waits by itself
        left = memoryview("\r\n".join([*lines, "", ""]).encode("latin-1") + content)
        while left:
            left = left[self._once_ready(self._socket.send, left, select.POLLOUT) :]
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            more = self._once_ready(self._socket.recv, MOST_HEAD_BYTES, select.POLLIN)
            if not more or len(data) > MOST_HEAD_BYTES:
                raise UnreadableError("an answer without an end") if more else ConnectionError("no answer came")
            data += more
        self._rest = data[end + 4 :]
        return _read_head(data[:end].decode("latin-1"))

    def fill(self, content: memoryview) -> None:
        """Fill a buffer with what comes next.

        Raises:
            OSError: If the connection broke.
        """
        at = min(len(self._rest), len(content))
        content[:at], self._rest = self._rest[:at], self._rest[at:]
        while at < len(content):
            count = self._once_ready(self._socket.recv_into, content[at:], select.POLLIN)
            if not count:
                raise ConnectionError("the answer was cut short")
            at += count

    def is_open(self, headers: Mapping[str, str]) -> bool:
        """Return whether another request may follow an answer that was read."""
        return not self._rest and headers.get("connection", "").lower() != "close"

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def _once_ready(self, act: Callable[[A], R], what: A, event: int) -> R:
        while True:
            try:
                return act(what)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)
            except BlockingIOError:
                self._wait(event)

    def _wait(self, event: int) -> None:
        poll = select.poll()
        poll.register(self._socket, event)
        with waiting():
            if not poll.poll(TIMEOUT_S * 1000):
                raise TimeoutError(f"nothing in {TIMEOUT_S} s")


def _read_head(text: str) -> tuple[int, dict[str, str]]:
    """Return status and headers; with success ``content-length`` is a number.

    Raises:
        UnreadableError: If it is no answer of HTTP/1.1, or a success whose length is not said.
    """
    first, *lines = text.split("\r\n")
    version, _, rest = first.partition(" ")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise UnreadableError(f"{line!r} is no header")
        headers[name.lower()] = value.strip()
    code, length = rest[:3], headers.get("content-length", "")
    if not version.startswith("HTTP/1.") or not (code.isascii() and code.isdecimal()):
        raise UnreadableError(f"{first!r} begins the answer")
    has_length = length.isascii() and length.isdecimal() and len(length) <= MOST_DIGITS
    if code.startswith("2") and (version != "HTTP/1.1" or "transfer-encoding" in headers or not has_length):
        raise UnreadableError(f"{first!r} has no length")
    return int(code), headers
