"""What a connection understands of an answer, and what it leaves to others."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import pytest

from trainer.checkpoints import connection as under_test
from trainer.checkpoints.connection import Connection, UnreadableError
from trainer.checkpoints.turns import turn

AT_MOST_S = 20.0


@contextmanager
def served(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Let one connection be answered, and close it."""

    def accept() -> None:
        other, _ = server.accept()
        with other:
            other.settimeout(AT_MOST_S)
            answer(other)

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(AT_MOST_S)
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join(AT_MOST_S)


def serving(*pieces: bytes, pause_s: float = 0.0) -> AbstractContextManager[str]:
    """Answer one request in these pieces."""

    def answer(other: socket.socket) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += other.recv(1 << 16)
        for piece in pieces:
            time.sleep(pause_s)
            other.sendall(piece)

    return served(answer)


def ask(host: str) -> tuple[int, dict[str, str], Connection]:
    connection = Connection(host, None)
    try:
        return *connection.ask("GET", "/a", {"host": host}, b""), connection
    except BaseException:
        connection.close()
        raise


@pytest.mark.parametrize("pause_s", [0.0, 0.02])
def test_an_answer_is_read_however_it_is_cut(pause_s: float) -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-Amz-Meta-Sha256:  abc \r\ncontent-LENGTH: 6\r\nEmpty:\r\n\r\nabcdef"
    cuts = [1, 7, 30, len(answer) - 9, len(answer) - 5, len(answer) - 2]
    pieces = [answer[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
    content = bytearray(6)

    with serving(*pieces, pause_s=pause_s) as host:
        status, headers, connection = ask(host)
        connection.fill(memoryview(content)[:2])
        connection.fill(memoryview(content)[2:])
        connection.close()

    assert status == 200
    assert headers == {"x-amz-meta-sha256": "abc", "content-length": "6", "empty": ""}
    assert content == b"abcdef"
    assert connection.is_open(headers)
    assert not connection.is_open({**headers, "connection": "Close"})


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: ²\r\n\r\n".encode("latin-1"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n folded: yes\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nno colon\r\n\r\nabc",
        b"220 smtp.example ready\r\n\r\n",
        b"x" * (3 * under_test.MOST_HEAD_BYTES),
    ],
)
def test_what_is_put_in_another_way_is_not_understood(answer: bytes) -> None:
    with serving(answer) as host, pytest.raises(UnreadableError):
        ask(host)


def test_a_refusal_needs_no_length() -> None:
    with serving(b"HTTP/1.1 503 Slow Down\r\nTransfer-Encoding: chunked\r\n\r\n") as host:
        status, _, connection = ask(host)
        connection.close()

    assert status == 503


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"])
def test_an_answer_that_breaks_off_is_a_broken_connection(answer: bytes) -> None:
    with serving(answer) as host, pytest.raises(ConnectionError), closing(ask(host)[2]) as connection:
        connection.fill(memoryview(bytearray(9)))


def test_what_comes_after_an_answer_closes_the_connection() -> None:
    with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab") as host:
        _, headers, connection = ask(host)
        connection.fill(memoryview(bytearray(1)))
        connection.close()

    assert not connection.is_open(headers)


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "TIMEOUT_S", 0.1)
    with serving(b"late", pause_s=0.5) as host, pytest.raises(TimeoutError):
        ask(host)


def test_who_waits_for_a_slow_line_lets_others_go_on() -> None:
    """A body that fills the buffers of the kernel goes on only after another thread has had a turn."""
    goes_on, body = threading.Event(), bytes(64 << 20)

    def answer(other: socket.socket) -> None:
        assert goes_on.wait(AT_MOST_S)
        left = len(body)
        while left > 0:
            left -= len(other.recv(1 << 20))
        other.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def send(host: str) -> None:
        with turn():
            connection = Connection(host, None)
            found.append(connection.ask("PUT", "/a", {"host": host}, body)[0])
            connection.close()

    def let_go() -> None:
        with turn():
            goes_on.set()

    found: list[int] = []
    with served(answer) as host:
        threads = [threading.Thread(target=send, args=(host,)), threading.Thread(target=let_go)]
        threads[0].start()
        time.sleep(0.3)  # it holds the turn first, as far as can be seen from here
        threads[1].start()
        for thread in threads:
            thread.join(AT_MOST_S)

    assert found == [200]
