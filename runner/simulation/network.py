"""How requests reach the emulated clouds: below the client's own parsing, pacing and repeats, past every server.

On the way a request or its answer may be lost, late, or be answered by somebody else; each is drawn from the seed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import httpx2

from runner.cloud_api import answers as cloud_api
from runner.cloud_api.wire import TOTAL_S, Request
from runner.emulation.calls import Answer, Call

if TYPE_CHECKING:
    from runner.simulation.process import Process
    from runner.simulation.rates import Rates

Serve = Callable[[Call], Answer]
Note = Callable[[str], None]
READ_S = 60.0
"""After so long the client gives an answer up."""
CHALLENGE = b"<!doctype html><title>Just a moment...</title>"


class Network:
    """The way to the clouds, with its weather."""

    def __init__(
        self, serve: Mapping[str, Serve], clock: Callable[[], float], chance: random.Random, rates: Rates
    ) -> None:
        """Begin with fair weather.

        Args:
            serve: Who answers, by the host's name.
            clock: The clouds' time of day, in seconds since the epoch.
            chance: Where the weather comes from.
            rates: How often what happens.
        """
        self.serve, self.clock = serve, clock
        self.cut_until_s = 0.0
        self.faults = 0
        self.on_launch: list[Callable[[], None]] = []
        self.count_machines: Callable[[], int] = lambda: 0
        self._chance, self._rates = chance, rates
        self._storm: list[int] = []

    def answer(self, host: str, call: Call) -> Answer:
        """Return a cloud's answer, and tell whoever waits for it that a machine has been made."""
        before = self.count_machines()
        answer = self.serve[host](call)
        if self.on_launch and self.count_machines() > before:
            told, self.on_launch = self.on_launch, []
            for tell in told:
                tell()
        return answer

    def fault(self) -> str:
        """Return what happens to a request; nothing is the rule."""
        if self._storm:
            return str(self._storm.pop())
        draw = self._chance.random()
        for name, rate in self._rates.requests:
            if draw < rate:
                if name in ("429", "500", "503"):
                    self._storm = [int(name)] * self._chance.choice((0, 0, 1, 3, 6))
                return name
            draw -= rate
        return ""

    def latency_s(self) -> float:
        """Return how long a way takes."""
        return self._chance.uniform(0.02, 0.4)


class CloudWire:
    """The wires of one process: what HTTP would carry goes to the cloud's own function, and its answer comes back."""

    def __init__(self, network: Network, process: Process, note: Note, headers: Mapping[str, str]) -> None:
        """Take the network, the process whose time the ways take, who writes the history, and an account's headers."""
        self._network, self._process, self._note = network, process, note
        self._headers = {name.lower(): value for name, value in headers.items()}

    def send(self, request: Request) -> cloud_api.Answer:
        """Return the answer to a request."""
        process, network = self._process, self._network
        last_s = process.monotonic_s() + TOTAL_S
        process.sleep(network.latency_s())
        if process.boottime_s() < network.cut_until_s:
            process.sleep(5.0)
            raise httpx2.ConnectError("the network is down")
        fault = network.fault()
        network.faults += bool(fault)
        if fault == "unsent":
            raise httpx2.ConnectTimeout("nobody answers")
        if fault == "lost":
            process.sleep(READ_S)
            raise httpx2.ReadTimeout("no answer")
        host, call = as_call(request, self._headers)
        answer = _from_somebody_before(fault) or network.answer(host, call)
        shown = f" ({fault})" if fault else ""
        self._note(f"{process.name} {call.method} {call.path} {answer.status}{shown}")
        process.sleep(network.latency_s())
        if fault == "late":
            process.sleep(READ_S * 0.9)
        if fault == "answer lost":
            process.sleep(READ_S)
        if fault == "answer lost" or answer.is_lost or answer.cut_after is not None:
            raise httpx2.ReadError("the connection broke")
        headers = {"content-type": "application/json", "date": formatdate(network.clock(), usegmt=True)}
        given = {name.lower(): value for name, value in answer.headers.items()}
        content = b"" if answer.status == httpx2.codes.NO_CONTENT else answer.bytes()
        if content and process.monotonic_s() > last_s:
            raise httpx2.ReadTimeout("the answer does not end")  # it was there, and its process was stopped meanwhile
        return cloud_api.Answer(answer.status, headers | given, content)

    def close(self) -> None:
        """Close nothing: there is no connection."""


def as_call(request: Request, headers: Mapping[str, str]) -> tuple[str, Call]:
    """Return the host that a request goes to, and the request as it arrives there.

    Args:
        request: The request.
        headers: The account's headers, their names in small letters.
    """
    address = urlsplit(request.url)
    query = {name: _as_text(value) for name, value in (request.params or {}).items()}
    body = b"" if request.body is None else json.dumps(request.body, ensure_ascii=False, separators=(",", ":")).encode()
    given = {name: value for name, value in query.items() if value}
    call = Call(request.method, unquote(address.path), given, headers, body)
    return address.netloc, call


def _as_text(value: object) -> str:
    """Return a value of a query as HTTP has it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _from_somebody_before(fault: str) -> Answer | None:
    """Return the answer of whoever stands before the cloud, if that is what goes wrong."""
    if fault == "challenge":
        return Answer(200, raw=CHALLENGE, headers={"content-type": "text/html"})
    if fault in ("429", "500", "503"):
        return Answer(int(fault), {"error": {"code": "global/unknown", "message": "try again"}})
    return None
