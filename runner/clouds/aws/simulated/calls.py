"""How the stand-in of hashicorp/aws asks AWS: what it repeats, and how it words what AWS refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2
from botocore.parsers import ResponseParserError

from runner.clouds.aws.simulated.session import account_of, parsed
from runner.provider.resource import ProblemError
from runner.world import Event, World

ATTEMPTS = 10
"""The root module's own number (``aws_max_retries``); a rehearsal has fewer, for its time is real."""
LONGEST_WAIT_S = 20.0
NOT_REPEATED = ("InsufficientInstanceCapacity",)
"""Codes with a status of 500 that the provider takes for an answer."""
THROTTLED = ("RequestLimitExceeded", "Throttling", "ThrottlingException")
GIVEN_UP = "https response error StatusCode: 0, RequestID: , canceled, context canceled"
NAMES = {"ec2": "EC2", "ssm": "SSM", "sts": "STS"}
RESOLUTION = "run `make logs`"


class CallError(ProblemError):
    """AWS refused, or did not answer.

    Attributes:
        code: AWS's code; empty where there is none.
    """

    def __init__(self, message: str, code: str = "") -> None:
        """Keep it."""
        super().__init__(message, resolution=RESOLUTION)
        self.code = code


class Calls:
    """The requests of one process of the provider's."""

    def __init__(self, world: World) -> None:
        """Ask nothing yet."""
        self._world, self._account = world, account_of(world, world.environ)
        self._region = world.environ.get("AWS_REGION", "us-east-1")

    def ask(self, operation: str, *, service: str = "ec2", stop: Event | None = None, **asked: Any) -> dict[str, Any]:
        """Return the answer to a request, which is given up as soon as ``stop`` is set: nobody hears what AWS did.

        Raises:
            CallError: If there is none, or it is a no.
        """
        attempt = 0
        while True:
            attempt += 1
            status, words, answer = self._once(service, operation, asked)
            if stop is not None and stop.is_set():
                status, words, answer = 0, GIVEN_UP, {}
            code = answer.get("Error", {}).get("Code", "")
            if not words:
                return answer
            is_worth_it = status == 0 or status >= 500 or code in THROTTLED
            if not is_worth_it or code in NOT_REPEATED or attempt >= ATTEMPTS or (stop and stop.is_set()):
                tries = f"exceeded maximum number of attempts, {attempt}, " if attempt >= ATTEMPTS else ""
                raise CallError(f"operation error {NAMES[service]}: {operation}, {tries}{words}", code)
            share = int(self._world.token(2), 16) / 0xFFFF
            self._world.sleep(share * min(2.0 ** (attempt - 1), LONGEST_WAIT_S))

    def _once(self, service: str, operation: str, asked: Mapping[str, Any]) -> tuple[int, str, dict[str, Any]]:
        """Return status, the provider's words for a failure, and the answer."""
        try:
            status, answer = parsed(self._account.ask(service, self._region, operation, asked))
        except httpx2.RequestError as err:
            return 0, f"https response error StatusCode: 0, RequestID: , request send failed, {err}", {}
        except ResponseParserError as err:
            return 200, f"https response error StatusCode: 200, RequestID: , deserialization failed, {err}", {}
        if status < 300:
            return status, "", answer
        error = answer["Error"]
        named = f"api error {error['Code']}: {error['Message']}"
        return status, f"https response error StatusCode: {status}, RequestID: 1, {named}", answer
