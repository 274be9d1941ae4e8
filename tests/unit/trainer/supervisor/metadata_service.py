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
        self.more: dict[str, bytes] = {}
        self.asked: list[str] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                self._answer(service.token_status, service.token.encode())

            def do_GET(self) -> None:
                given = self.headers.get("X-aws-ec2-metadata-token")
                known = (200, service.more[self.path]) if self.path in service.more else (service.status, service.body)
                self._answer(*(known if given == service.token else (401, b"")))

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

    def gives_role(self, name: str, session: Any) -> None:
        """Give out the keys of a role's session, as moto's STS keeps one."""
        path, ends_at = "/latest/meta-data/iam/security-credentials/", session.expiration
        keys = {
            "Code": "Success",
            "AccessKeyId": session.access_key_id,
            "SecretAccessKey": session.secret_access_key,
            "Token": session.session_token,
            "Expiration": f"{ends_at:%Y-%m-%dT%H:%M:%SZ}",
        }
        self.more |= {path: name.encode(), path + name: json.dumps(keys).encode()}

    def takes_back(self, body: bytes | None = None) -> None:
        self.status, self.body = 200, json.dumps(NOTICE).encode() if body is None else body
