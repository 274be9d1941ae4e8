"""The wire to a cloud: one request goes out, and its whole answer comes back, within bounds of time and size.

Whoever asks (``http.Api``) keeps the pace, repeats, and understands. A world may have been made with another wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2

from runner.cloud_api.answers import Answer
from runner.world import World

CONNECT_S, READ_S, TOTAL_S = 10.0, 60.0, 90.0
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        method: HTTP method.
        url: The address.
        params: Query; what is ``None`` is left empty.
        body: JSON content, or ``None`` for none.
    """

    method: str
    url: str
    params: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None


class Wire(Protocol):
    """Carries the requests of one account."""

    def send(self, request: Request) -> Answer:
        """Return the answer to a request that is sent once.

        Raises:
            httpx2.RequestError: If there is none.
        """

    def close(self) -> None:
        """Let the connections go."""


class OpenWire(Protocol):
    """Makes a wire."""

    def __call__(
        self,
        world: World,
        headers: Mapping[str, str],
        *,
        is_here: bool,
        transport: httpx2.BaseTransport | None = None,
    ) -> Wire:
        """Return a wire; nothing is sent yet.

        Args:
            world: Where time passes.
            headers: What goes with every request.
            is_here: Whether the other end is on this machine.
            transport: A stand-in for the world's network.

        Raises:
            NO_WAY_OUT: If the environment names an address, a proxy or certificates that nobody can use.
        """


def wire_of(world: World) -> OpenWire:
    """Return what makes a world's wires: HTTP over the network, unless the world was made with something else."""
    return world.shared(wire_of, lambda: HttpWire)


class HttpWire:
    """HTTP over the network."""

    def __init__(
        self,
        world: World,
        headers: Mapping[str, str],
        *,
        is_here: bool,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Make a client; see ``OpenWire``."""
        self._world = world
        self._client = httpx2.Client(
            headers=dict(headers),
            timeout=httpx2.Timeout(READ_S, connect=CONNECT_S),
            # A connection that was kept may be dead, and then nobody knows whether a launch was read: keep none.
            limits=httpx2.Limits(max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=not is_here,  # a proxy does not reach this machine's loopback
            transport=transport or world.http_transport(),
        )

    def send(self, request: Request) -> Answer:
        """Send once and read to the end, within a bound of time and size."""
        last_s, body = self._world.monotonic_s() + TOTAL_S, bytearray()
        made = self._client.build_request(request.method, request.url, params=request.params, json=request.body)
        response = self._client.send(made, stream=True)
        try:
            for chunk in response.iter_bytes():
                body += chunk
                if self._world.monotonic_s() > last_s:
                    raise httpx2.ReadTimeout("the answer does not end", request=made)
                if len(body) > MAX_BYTES:
                    raise httpx2.ReadError("the answer does not end", request=made)
        finally:
            response.close()
        headers = {name.lower(): text for name, text in response.headers.items()}
        return Answer(response.status_code, headers, bytes(body))

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()
