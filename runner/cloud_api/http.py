"""One request to a cloud: its turn, its bounded repeats, and one error for each way it can fail.

What is asked twice is only what may happen twice. A request that rents is repeated in two cases alone: the connection
was never made, or the cloud refused it for too many requests (429). Any other loss is ``CloudUnavailableError``: what
was asked for may have happened.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx2

from runner.cloud_api.answers import Answer
from runner.cloud_api.network import NO_WAY_OUT, WAY_OUT, certificate_words, no_way_out_words
from runner.cloud_api.pacing import Pace, Timer, clock_off, in_flight, retry_after_s, spent_window_s
from runner.cloud_api.refusals import is_web_page, web_page
from runner.cloud_api.wire import Request, wire_of
from runner.errors import AccountError, CloudError, CloudUnavailableError, RateLimitedError, UsageError

LOST_SLEEPS_S = (0.5, 1.0, 2.0, 4.0)
"""Pauses before a request is repeated whose answer was lost, or was a fault of the cloud's."""
LOST_PATIENCE_S = 100.0
"""Once tries without an answer have taken so long together, no other is made."""
BACKOFF_S = 5.0
"""First pause after a 429 that names none; it doubles."""
LEAST_PAUSE_S = 1.0
"""What a 429 costs of the patience at least, and the least wait where the cloud names a shorter one."""
BUSY_PATIENCE_S = 150.0
"""How long a request may be put off by 429 in all."""
NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
TOO_MANY = 429
SHORTEST_SECRET = 8

Refusal = Callable[[Answer, str], CloudError]


class Api:
    """One account at one address."""

    def __init__(
        self,
        cloud: str,
        endpoint: str,
        api_key: str,
        *,
        refusal: Refusal,
        pace: Pace,
        backoff_s: float = BACKOFF_S,
        timer: Timer,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Take the account's key; nothing is asked yet.

        Args:
            cloud: Name of the cloud.
            endpoint: Address up to the version.
            api_key: Key of the account.
            refusal: Turns an answer that is no success into an error; its second argument says what was asked for.
            pace: The account's pace.
            backoff_s: First pause after a 429 that names none.
            timer: The clock and the way to wait.
            transport: A stand-in for the world's network.

        Raises:
            UsageError: If the key would travel unencrypted to another machine.
            AccountError: If the key cannot be one, or the environment names an address, a proxy or certificates that
                nobody can use.
        """
        self._cloud, self._endpoint = cloud, endpoint.rstrip("/")
        self._refusal, self._pace, self._backoff_s = refusal, pace, backoff_s
        self._timer = timer
        self._key = api_key.encode()
        self.clock_off: timedelta | None = None
        """How far the cloud's clock was ahead of this computer's at the last answer, once one said what it shows."""
        try:
            self._wire = wire_of(timer.world)(
                timer.world,
                {"Authorization": f"Bearer {api_key}", "Accept": "application/json", "User-Agent": "douse"},
                is_here=_check(cloud, endpoint, api_key),
                transport=transport,
            )
        except NO_WAY_OUT as err:
            raise AccountError(
                f"{cloud}: no request can be sent to {endpoint}: {no_way_out_words(err)}", resolution=WAY_OUT
            ) from err

    def __repr__(self) -> str:
        """Return the cloud and the address, never the key."""
        return f"Api({self._cloud!r}, {self._endpoint!r})"

    def close(self) -> None:
        """Let the connections go."""
        self._wire.close()

    def fingerprint(self, salt: str) -> str:
        """Return what distinguishes this key at this address from others, and from which it cannot be found again."""
        return hmac.digest(salt.encode(), self._key + b"\0" + self._endpoint.encode(), "sha256").hex()

    def ask(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        repeatable: bool,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        lanes: Sequence[Pace] = (),
    ) -> Answer:
        """Return the answer to a request that the cloud carried out.

        Args:
            method: HTTP method.
            path: What comes after the endpoint.
            doing: What is asked for, for people: "list the machines".
            repeatable: Whether it does no harm when it happens twice.
            params: Query.
            body: JSON content.
            lanes: Further paces that this kind of request keeps, besides the account's.

        Raises:
            CloudError: Whatever the cloud says no to; ``CloudUnavailableError`` if nothing came back.
        """
        request = Request(method, f"{self._endpoint}{path}", params, body)
        repeats = _Repeats()
        busy_s, backoff_s = 0.0, self._backoff_s
        while True:
            try:
                with in_flight((self._pace, *lanes), self._timer):
                    began_s = self._timer.clock()
                    answer = self._once(request)
                    if answer.status == TOO_MANY:  # nobody else may go before its pause is known
                        busy_s += self._put_off(answer, doing, busy_s, backoff_s)
            except httpx2.RequestError as err:
                pause_s = repeats.pause_s(self._timer.clock() - began_s)
                if pause_s is None or not (repeatable or isinstance(err, NOT_SENT)):
                    raise self._lost(doing, err) from err
                self._timer.sleep(pause_s)
                continue
            is_success = 200 <= answer.status < 300
            if is_success and not is_web_page(answer):
                return answer
            if answer.status == TOO_MANY:
                backoff_s *= 2
                continue
            refused = web_page(self._cloud, answer, doing) if is_success else self._refusal(answer, doing)
            pause_s = repeats.pause_s(self._timer.clock() - began_s)
            if pause_s is None or not (repeatable and isinstance(refused, CloudUnavailableError)):
                raise refused
            self._timer.sleep(pause_s)

    def _once(self, request: Request) -> Answer:
        """Send once, and take in what the answer says of clocks and of the pace."""
        answer = self._wire.send(request)
        off = clock_off(answer.headers, self._timer.world.now())
        self.clock_off = self.clock_off if off is None else off
        closed_s = spent_window_s(answer.headers)
        if 0 < closed_s <= BUSY_PATIENCE_S:
            self._pace.hold(self._timer, closed_s)
        return self._blot(answer)

    def _blot(self, answer: Answer) -> Answer:
        if len(self._key) < SHORTEST_SECRET:
            return answer
        return Answer(answer.status, answer.headers, answer.body.replace(self._key, b"***"))

    def _put_off(self, answer: Answer, doing: str, busy_s: float, backoff_s: float) -> float:
        """Hold the whole account for as long as the cloud asks, and return the seconds; raise when that is too long."""
        asked_s = retry_after_s(answer.headers, self._timer.world.now())
        pause_s = backoff_s if asked_s is None else max(asked_s, LEAST_PAUSE_S)
        if busy_s + pause_s > BUSY_PATIENCE_S:
            raise RateLimitedError(
                f"{self._cloud}: cannot {doing}: too many requests, and the next one in {pause_s:.0f} s only",
                details=answer.text or None,
                resolution=f"wait {pause_s:.0f} s, and run fewer runs at a time on this account",
                code="429",
                status=429,
            )
        self._pace.hold(self._timer, pause_s)
        return max(pause_s, LEAST_PAUSE_S)

    def _lost(self, doing: str, err: httpx2.RequestError) -> CloudUnavailableError:
        host = urlsplit(self._endpoint).netloc
        what, to_do = certificate_words(str(err), host, self._timer.world.now()) or (
            f"no answer from {host} ({type(err).__name__})",
            "check the network and the cloud's status page, then repeat the command",
        )
        return CloudUnavailableError(
            f"{self._cloud}: cannot {doing}: {what}", details=str(err) or None, resolution=to_do
        )


class _Repeats:
    """How often a request may still be sent after trouble: a few times, and only while little time was lost."""

    def __init__(self) -> None:
        self._pauses, self._lost_s = iter(LOST_SLEEPS_S), 0.0

    def pause_s(self, lost_s: float) -> float | None:
        """Return the pause before the next try after one that took ``lost_s``, or ``None``: it was the last."""
        self._lost_s += lost_s
        return next(self._pauses, None) if self._lost_s < LOST_PATIENCE_S else None


def _check(cloud: str, endpoint: str, api_key: str) -> bool:
    """Check the address and the key, and return whether the address is on this machine."""
    parts = urlsplit(endpoint)
    here = parts.hostname == "localhost" or _is_loopback(parts.hostname or "")
    if parts.scheme not in {"http", "https"} or not parts.hostname or (parts.scheme == "http" and not here):
        raise UsageError(
            f"{cloud}: the endpoint {endpoint} is no https:// address, and the key would travel for all to read",
            resolution="give an endpoint that begins with https://",
        )
    if not re.fullmatch(r"[\x21-\x7e]+", api_key):
        raise AccountError(
            f"{cloud}: the API key is empty or has characters that no key has ({len(api_key)} characters)",
            resolution="set the cloud's key again, as its console shows it (docs/clouds/)",
        )
    return here


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
