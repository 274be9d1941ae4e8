"""A cloud at the other end of the transport, and time that passes only when somebody sleeps."""

from __future__ import annotations

import itertools
import json
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import httpx2

from runner.cloud_api.pacing import Timer
from runner.world import RealWorld

Reply = httpx2.Response | Exception | Callable[[httpx2.Request], httpx2.Response]

_numbers = itertools.count(1)


def new_key() -> str:
    """Return a key that no other test has, for the paces are the process's."""
    return f"secret-key-of-test-{next(_numbers):04d}"


class FakeTime(RealWorld):
    """This process's own world, with a clock that only sleeping moves on."""

    def __init__(self) -> None:
        super().__init__({})
        self.now_s, self.sleeps_s = 1000.0, list[float]()
        self._sleeping = threading.Lock()
        self.timer = Timer(self)

    def monotonic_s(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        with self._sleeping:
            self.sleeps_s.append(seconds)
            self.now_s += seconds


class FakeCloud:
    """Answers in the order of its script, one queue for each method and path; what was asked for stays on record."""

    def __init__(self) -> None:
        self.asked: list[httpx2.Request] = []
        self._script: dict[tuple[str, str], deque[Reply]] = {}
        self.transport = httpx2.MockTransport(self._answer)

    def on(self, method: str, path: str, *replies: Reply) -> None:
        self._script.setdefault((method, path), deque()).extend(replies)

    @property
    def left(self) -> list[tuple[str, str]]:
        return [where for where, replies in self._script.items() if replies]

    @property
    def calls(self) -> list[tuple[str, str]]:
        return [(request.method, request.url.path) for request in self.asked]

    def body(self, number: int = -1) -> Any:
        return json.loads(self.asked[number].content)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        replies = self._script.get((request.method, request.url.path))
        assert replies, f"nobody expected {request.method} {request.url.path}"
        reply = replies.popleft()
        if isinstance(reply, Exception):
            raise reply
        return reply(request) if callable(reply) else reply


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> httpx2.Response:
    return httpx2.Response(status, json=content, headers=headers)


def text(content: str, status: int = 200, headers: dict[str, str] | None = None) -> httpx2.Response:
    return httpx2.Response(status, text=content, headers=headers)
