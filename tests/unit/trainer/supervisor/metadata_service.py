"""A metadata service of EC2's manners, on loopback."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NOTICE = {"action": "terminate", "time": "2026-11-29T12:02:00Z"}


class Service:
    """A metadata service whose answers a test sets."""

    def __init__(self) -> None:
        self.token, self.token_status = "t0ken", 200
        self.status, self.body = 404, b""
        self.asked: list[str] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                self._answer(service.token_status, service.token.encode())

            def do_GET(self) -> None:
                given = self.headers.get("X-aws-ec2-metadata-token")
                self._answer(*((service.status, service.body) if given == service.token else (401, b"")))

            def _answer(self, status: int, body: bytes) -> None:
                service.asked.append(f"{self.command} {self.path}")
                self.send_response(status)
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def takes_back(self, body: bytes | None = None) -> None:
        self.status, self.body = 200, json.dumps(NOTICE).encode() if body is None else body
