"""A stand-in for boto3: sessions and clients whose requests go out by a world's wire, and whose answers are parsed.

Time, chance and the network are the world's. What botocore does with an answer is done by botocore's own rules: which
failures are repeated, by its conditions and its quota; that pages are followed; which exception is raised. Building its
clients and parsing its XML would take longer than all else in a life (decision 152).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any

import httpx2
from botocore import exceptions
from botocore.model import StructureShape
from botocore.parsers import ResponseParserError
from botocore.retries.quota import RetryQuota
from botocore.retries.standard import RetryContext, RetryQuotaChecker, StandardRetryConditions

from runner.cloud_api.answers import Answer
from runner.cloud_api.library import Library
from runner.cloud_api.wire import Request, Wire, wire_of
from runner.world import World

SAFE = ("Describe", "Get", "List")
ENDS = ("Delete", "Terminate", "Release", "Cancel")
LONGEST_WAIT_S = 20.0
THROTTLED = (503, "RequestLimitExceeded", "Request limit exceeded.")
"""How AWS says what other clouds say by the status 429."""
PAGED = frozenset(
    {
        "describe_instance_type_offerings",
        "describe_instance_types",
        "describe_instances",
        "describe_security_groups",
        "describe_spot_instance_requests",
        "describe_spot_price_history",
        "describe_tags",
        "describe_volumes",
        "describe_vpcs",
        "get_products",
        "list_schedules",
    }
)
"""Operations of which botocore follows the pages."""


def library(world: World) -> Library:
    """Return what stands in for boto3 in a world."""
    return Library(partial(SimulatedSession, world), InTurn)


class InTurn(Executor):
    """Does one thing after the other: whoever asks several regions at once asks them so."""

    def __init__(self, max_workers: int) -> None:
        """Begin with nothing to do."""
        del max_workers

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do it now."""
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as err:  # noqa: BLE001 - it is whoever asks for the result who gets it
            done.set_exception(err)
        return done


@dataclass(frozen=True)
class Account:
    """Where requests go, and by whose key.

    Attributes:
        world: Whose time passes.
        wire: What carries them.
        endpoint: Where to.
    """

    world: World
    wire: Wire
    endpoint: str

    def ask(self, service: str, region: str, operation: str, asked: Mapping[str, Any]) -> Answer:
        """Send a request once; raises as ``Wire.send``."""
        method = "GET" if operation.startswith(SAFE) else "DELETE" if operation.startswith(ENDS) else "POST"
        body = {name: f"{given:%FT%TZ}" if isinstance(given, datetime) else given for name, given in asked.items()}
        return self.wire.send(Request(method, f"{self.endpoint}/{service}/{region}/{operation}", body=body))


def account_of(world: World, environ: Mapping[str, str]) -> Account:
    """Return the account that an environment's key opens."""
    headers = {"authorization": environ.get("AWS_ACCESS_KEY_ID", "")}
    return Account(world, wire_of(world)(world, headers, is_here=False), environ["AWS_ENDPOINT_URL"])


class SimulatedSession:
    """What ``boto3.Session`` is to our client."""

    region_name = None

    def __init__(self, world: World, environ: Mapping[str, str]) -> None:
        """Keep whose account it is."""
        self._account = account_of(world, environ)

    def client(self, service: str, *, region_name: str, endpoint_url: str | None, config: Any) -> SimulatedClient:
        """Return a client of one service in a region."""
        del endpoint_url
        return SimulatedClient(self._account, service, region_name, config.retries["total_max_attempts"])

    def get_available_partitions(self) -> list[str]:
        """Return the one partition."""
        return ["aws"]

    def get_available_regions(self, service: str, partition: str) -> list[str]:
        """Return the regions that have a service."""
        del service, partition
        return ["us-east-1"]


class SimulatedClient:
    """What a client of botocore's is to ours."""

    def __init__(self, account: Account, service: str, region: str, attempts: int) -> None:
        """Ask nothing yet."""
        self.meta = _Meta(_Events())
        self._account, self._service, self._region = account, service, region
        self._conditions, self._quota = StandardRetryConditions(attempts), RetryQuotaChecker(RetryQuota())

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        """Return a method of the API, by its name in Python."""
        return partial(self._call, "".join(part.capitalize() for part in name.split("_")))

    def can_paginate(self, name: str) -> bool:
        """Return whether botocore follows the pages of an operation."""
        return name in PAGED

    def get_paginator(self, name: str) -> _Pages:
        """Return what follows them."""
        return _Pages(getattr(self, name))

    def _call(self, operation: str, **asked: Any) -> dict[str, Any]:
        """Ask, and again where botocore would."""
        attempt, noted, model = 0, dict[str, Any](), _model(operation)
        while True:
            attempt += 1
            try:
                status, found = self._once(operation, asked)
                context = RetryContext(attempt, model, found, _Status(status), None, noted)
            except (exceptions.HTTPClientError, exceptions.ConnectionError) as err:
                context = RetryContext(attempt, model, None, None, err, noted)
            if not (self._conditions.is_retryable(context) and self._quota.acquire_retry_quota(context)):
                break
            share = int(self._account.world.token(2), 16) / 0xFFFF
            self._account.world.sleep(share * min(2.0 ** (attempt - 1), LONGEST_WAIT_S))
        self._quota.release_retry_quota(noted, context.http_response)
        if context.caught_exception is not None:
            raise context.caught_exception
        if context.http_response.status_code >= 300:
            raise exceptions.ClientError(context.parsed_response, operation)
        answer: dict[str, Any] = context.parsed_response
        return answer

    def _once(self, operation: str, asked: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return the status and the parsed answer to a request that is sent once."""
        address = self._account.endpoint
        try:
            answer = self._account.ask(self._service, self._region, operation, asked)
        except httpx2.ConnectTimeout as err:
            raise exceptions.ConnectTimeoutError(endpoint_url=address, error=err) from err
        except httpx2.TimeoutException as err:
            raise exceptions.ReadTimeoutError(endpoint_url=address, error=err) from err
        except httpx2.ConnectError as err:
            raise exceptions.EndpointConnectionError(endpoint_url=address, error=err) from err
        except httpx2.RequestError as err:
            raise exceptions.ConnectionClosedError(endpoint_url=address, error=err) from err
        self.meta.events.emit(operation, answer)
        return parsed(answer)


def parsed(answer: Answer) -> tuple[int, dict[str, Any]]:
    """Return the status and the parsed content of an answer.

    Raises:
        ResponseParserError: If an answer of the service's own cannot be parsed.
    """
    try:
        content = json.loads(answer.body)
    except ValueError as err:
        if answer.status < 500:
            raise ResponseParserError(f"Unable to parse response, invalid XML received: {err}") from err
        content = {}
    is_own = isinstance(content.get("Error"), dict) and "Code" in content["Error"]
    if answer.status < 300 or (is_own and "Message" in content["Error"]):
        status, found = answer.status, content
    else:  # whoever stands before the service
        status, code, words = THROTTLED if answer.status == 429 else (answer.status, str(answer.status), "")
        found = {"Error": {"Code": code, "Message": words}}
    if "__type" in content:
        found = {"Error": {"Code": content["__type"], "Message": content.get("message", "")}}
    return status, {**found, "ResponseMetadata": {"HTTPStatusCode": status}}


class _Pages:
    """Follows pages."""

    def __init__(self, ask: Callable[..., dict[str, Any]]) -> None:
        self._ask = ask

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        """Yield page after page."""
        token = None
        while True:
            page = self._ask(**asked, **({} if token is None else {"NextToken": token}))
            yield page
            before, token = token, page.get("NextToken") or None
            if token is None:
                return
            if token == before:
                raise exceptions.PaginationError(message=f"The same next token was received twice: {token}")


@dataclass(frozen=True)
class _Status:
    """An HTTP answer, as far as whoever repeats requests looks at it."""

    status_code: int


@dataclass(frozen=True)
class _Model:
    """An operation, as far as handlers and whoever repeats requests look at it."""

    name: str
    service_model: Any
    output_shape: Any
    error_shapes: tuple[Any, ...] = ()


@dataclass(frozen=True)
class _Service:
    resolved_protocol: str = "json"
    service_name: str = ""


class _Events:
    """Handlers of ``before-parse``."""

    def __init__(self) -> None:
        self._handlers: list[Callable[..., None]] = []

    def register(self, event: str, handler: Callable[..., None]) -> None:
        """Call a handler with each answer before it is parsed."""
        if event != "before-parse":
            raise NotImplementedError(event)
        self._handlers.append(handler)

    def emit(self, operation: str, answer: Answer) -> None:
        """Call them."""
        response = {"headers": answer.headers, "body": answer.body, "status_code": answer.status}
        for handler in self._handlers:
            handler(operation_model=_model(operation), response_dict=response)


@dataclass(frozen=True)
class _Meta:
    events: _Events


@cache
def _model(operation: str) -> _Model:
    return _Model(operation, _Service(), StructureShape(operation, {"type": "structure", "members": {}}))
