"""How requests reach the emulated clouds: below the client's own parsing, pacing and repeats, past every server.

On the way a request or its answer may be lost, late, or be answered by somebody else; each is drawn from the seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import httpx2

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
        self._chance, self._rates = chance, rates
        self._storm: list[int] = []

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


class CloudTransport(httpx2.BaseTransport):
    """The network of one process."""

    def __init__(self, network: Network, process: Callable[[], Process], note: Note) -> None:
        """Take the network, the process whose time the ways take, and who writes the history."""
        self._network, self._process, self._note = network, process, note

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer to a request."""
        process, network = self._process(), self._network
        process.sleep(network.latency_s())
        if process.boottime_s() < network.cut_until_s:
            process.sleep(5.0)
            raise httpx2.ConnectError("the network is down", request=request)
        fault = network.fault()
        network.faults += bool(fault)
        if fault == "unsent":
            raise httpx2.ConnectTimeout("nobody answers", request=request)
        if fault == "lost":
            process.sleep(READ_S)
            raise httpx2.ReadTimeout("no answer", request=request)
        answer = self._answered(request, fault)
        self._note(f"{process.name} {request.method} {_shown(request)} {answer.status}{f' ({fault})' if fault else ''}")
        process.sleep(network.latency_s())
        if fault == "late":
            process.sleep(READ_S * 0.9)
        if fault == "answer lost":
            process.sleep(READ_S)
        if fault == "answer lost" or answer.is_lost or answer.cut_after is not None:
            raise httpx2.ReadError("the connection broke", request=request)
        headers = {"content-type": "application/json", "date": formatdate(network.clock(), usegmt=True)}
        content = b"" if answer.status == httpx2.codes.NO_CONTENT else answer.bytes()
        given = {name.lower(): value for name, value in answer.headers.items()}
        return httpx2.Response(answer.status, headers=headers | given, content=content, request=request)

    def _answered(self, request: httpx2.Request, fault: str) -> Answer:
        """Return the cloud's answer, or that of whoever stands before it."""
        if fault == "challenge":
            return Answer(200, raw=CHALLENGE, headers={"content-type": "text/html"})
        if fault in ("429", "500", "503"):
            return Answer(int(fault), {"error": {"code": "global/unknown", "message": "try again"}})
        query = dict(parse_qsl(request.url.query.decode()))
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.method, request.url.path, query, headers, request.read())
        return self._network.serve[request.url.host](call)


def _shown(request: httpx2.Request) -> str:
    """Return the path of a request."""
    return request.url.path
