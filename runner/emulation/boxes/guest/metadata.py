"""The metadata service of an emulated machine, EC2's in its second version, as far as it tells of a reclaim.

It runs in the box's network alone, and outside of its disk and processes: whoever is root in the box cannot change it.
Standard library only.

Source, read 2026-11-29: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "cmVoZWFyc2Fs"  # noqa: S105 - it opens nothing
TOKEN_PATH = "/latest/api/token"  # noqa: S105 - where to get it
NOTICE_PATH = "/latest/meta-data/spot/instance-action"
TTL_HEADER, TOKEN_HEADER = "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"
LONGEST_S = 21600


def serve(notice: Path, address: str, port: int) -> ThreadingHTTPServer:
    """Return a service that tells what a file holds, and that there is nothing as long as it is missing."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            """Give a token to whoever says for how long."""
            ttl = self.headers.get(TTL_HEADER, "")
            is_fine = ttl.isdecimal() and 1 <= int(ttl) <= LONGEST_S
            if self.path != TOKEN_PATH:
                self._answer(404, b"")
            else:
                self._answer(*((200, TOKEN.encode()) if is_fine else (400, b"")))

        def do_GET(self) -> None:
            """Tell the notice to whoever has a token."""
            if self.headers.get(TOKEN_HEADER) != TOKEN:
                self._answer(401, b"")
            elif self.path == NOTICE_PATH and notice.is_file():
                self._answer(200, notice.read_bytes())
            else:
                self._answer(404, b"")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return ThreadingHTTPServer((address, port), Handler)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2], 80).serve_forever()
