"""Receivers of notices on loopback: a web server with the manners of good and bad ones, and a mail server."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANGING_S = 60.0


class WebServer(ThreadingHTTPServer):
    """Answers by the path: ``/ok``, ``/broken`` (500), ``/elsewhere`` (a file), ``/silent`` (never)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.closing = threading.Event()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: WebServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.got.append((self.path, json.loads(body)))
        if self.path.startswith("/silent"):
            self.server.closing.wait(HANGING_S)
            return
        self.send_response({"/broken": 500, "/elsewhere": 302}.get(self.path, 200))
        self.send_header("Location", "file:///etc/passwd")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: Any) -> None:
        """Write nothing."""


class MailServer(socketserver.ThreadingTCPServer):
    """Takes a mail as any SMTP server, without encryption or password."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _MailHandler)
        self.mails: list[str] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _MailHandler(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._say("220 ready")
        for line in iter(self.rfile.readline, b""):
            word = line[:4].upper()
            if word == b"DATA":
                self._say("354 go on")
                self.server.mails.append("".join(line.decode() for line in iter(self.rfile.readline, b".\r\n")))
            self._say("221 bye" if word == b"QUIT" else "250 fine")
            if word == b"QUIT":
                return

    def _say(self, words: str) -> None:
        self.wfile.write(f"{words}\r\n".encode())


@contextlib.contextmanager
def serving(server: WebServer | MailServer) -> Iterator[None]:
    """Serve as long as the block goes on."""
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.05), daemon=True)
    thread.start()
    try:
        yield
    finally:
        if isinstance(server, WebServer):
            server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(60)


def refused_port() -> int:
    """Return a port on which nobody listens."""
    with socketserver.TCPServer(("127.0.0.1", 0), _MailHandler) as server:
        return int(server.server_address[1])
