"""A slow line in front of a store."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from io import BytesIO

from runner.emulation.service import Environ, StartResponse, Wsgi


class SlowLine:
    """A line that carries so many bytes in a second, all connections together."""

    def __init__(self, bytes_per_s: float, piece_bytes: int = 64 << 10) -> None:
        """Take its speed, and how much goes over it at once."""
        self._bytes_per_s, self._piece_bytes = bytes_per_s, piece_bytes
        self._lock, self._free_s = threading.Lock(), 0.0
        self.taken_bytes = 0

    def in_front_of(self, app: Wsgi) -> Wsgi:
        """Return an app whose requests come through it, with the whole body before the app begins."""

        def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            left = int(environ.get("CONTENT_LENGTH") or 0)
            body = BytesIO()
            while left and (piece := environ["wsgi.input"].read(min(left, self._piece_bytes))):
                self._carry(len(piece))
                body.write(piece)
                left -= len(piece)
            if body.tell():
                body.seek(0)
                environ["wsgi.input"] = body
            return app(environ, start_response)

        return answer

    def _carry(self, size_bytes: int) -> None:
        with self._lock:
            begin_s = max(time.monotonic(), self._free_s)
            self._free_s = begin_s + size_bytes / self._bytes_per_s
            self.taken_bytes += size_bytes
            wait_s = self._free_s - time.monotonic()
        time.sleep(max(0.0, wait_s))
