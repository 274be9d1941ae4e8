"""Whether sshd answers."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from runner.provider.ssh_wait import sshd_answers
from runner.world import RealWorld


@contextmanager
def server(greeting: bytes, *, silent: bool = False) -> Iterator[tuple[str, int]]:
    done = threading.Event()

    class Greeter(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            for part in greeting.splitlines(keepends=True):
                self.request.sendall(part)
            if silent:
                done.wait(240)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeter) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield found.server_address[0:2]  # type: ignore[misc]
        finally:
            done.set()
            found.shutdown()
            thread.join(60)


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.6\r\n", b"Be welcome\r\nSSH-2.0-OpenSSH_9.6\r\n"])
def test_a_greeting_of_sshd_is_an_answer(greeting: bytes) -> None:
    with server(greeting) as address:
        assert sshd_answers(RealWorld(), *address)


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0 without an end", b"x" * 9000])
def test_anything_else_is_none(greeting: bytes) -> None:
    with server(greeting) as address:
        assert not sshd_answers(RealWorld(), *address)


def test_silence_is_none_and_does_not_last() -> None:
    with server(b"", silent=True) as address:
        assert not sshd_answers(RealWorld(), *address, timeout_s=0.05)


def test_a_closed_port_is_none() -> None:
    with server(b"") as address:
        pass

    assert not sshd_answers(RealWorld(), *address)


def test_a_name_that_is_no_host_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("no such host")

    monkeypatch.setattr("socket.create_connection", refuse)

    assert not sshd_answers(RealWorld(), "nowhere.invalid", 22)
