"""Plain requests and answers, and the few lines that make an ASGI app of a function between them."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

JsonValue = object


class Strict(BaseModel):
    """A request's body: types as they are written, no field that the vendor does not know."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    nullable: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        """A field that is left out is one thing, null is another: refuse it unless the vendor takes it."""
        nulls = sorted(name for name in self.model_fields_set - self.nullable if getattr(self, name, ...) is None)
        if nulls:
            raise ValueError(f"null is not allowed for {', '.join(nulls)}")
        return self


Body = TypeVar("Body", bound=Strict)


@dataclass(frozen=True)
class Call:
    """A request.

    Attributes:
        method: In capital letters.
        path: Decoded, from the root of the server.
        query: The query; of a name that comes twice, the last.
        headers: Names in small letters.
        body: As it came.
        parts: What stands for the names in the route's path.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    parts: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> JsonValue:
        """Return the body as JSON; ``None`` for no body, the raw text for what is none."""
        if not self.body:
            return None
        try:
            return json.loads(self.body)
        except ValueError:
            return self.body.decode(errors="replace")


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
        status: HTTP status.
        body: What goes out as JSON; ``None`` for no body at all.
        headers: On top of the content type.
        raw: Sent instead of ``body``, as it is.
        is_lost: The connection breaks off before the answer is whole.
        cut_after: Bytes after which the connection breaks off, where it does so within the body.
    """

    status: int
    body: JsonValue = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    is_lost: bool = False
    cut_after: int | None = None

    def bytes(self) -> bytes:
        """Return the bytes to send."""
        if self.raw is not None:
            return self.raw
        return b"" if self.body is None else json.dumps(self.body).encode()


Handler = Callable[[Call], Answer]


@dataclass(frozen=True)
class Route:
    """One method of one path; ``{name}`` in it stands for a segment."""

    method: str
    path: str
    handler: Handler


class Router:
    """Finds the handler of a call."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Compile the paths."""
        self._routes = [(re.compile(_pattern(route.path)), route) for route in routes]
        self._found: dict[str, list[tuple[Route, dict[str, str]]]] = {}

    def find(self, call: Call) -> tuple[Handler, Call] | list[str]:
        """Return the handler and the call with its parts, or the methods that the path has (none: no such path)."""
        fitting = self._fitting(call.path)
        for route, parts in fitting:
            if route.method == call.method:
                return route.handler, replace(call, parts=parts) if parts else call
        return sorted(route.method for route, _ in fitting)

    def _fitting(self, path: str) -> list[tuple[Route, dict[str, str]]]:
        """Return the routes that a path fits, with what stands for their names; most paths are asked for often."""
        if path not in self._found:
            matches = ((route, pattern.fullmatch(path)) for pattern, route in self._routes)
            self._found[path] = [(route, match.groupdict()) for route, match in matches if match is not None]
        return self._found[path]


def problems(err: ValidationError) -> list[str]:
    """Return one line for each fault of a body, in the words of a JSON schema validator."""
    return [f"$.{'.'.join(str(part) for part in line['loc'])}: {line['msg']}" for line in err.errors()]


def parse(model: type[Body], call: Call) -> Body:
    """Read a body strictly.

    Raises:
        ValidationError: If it is not as the vendor wants it.
    """
    return model.model_validate_json(call.body or b"null")


def as_app(serve: Handler) -> Starlette:
    """Make an ASGI app that hands every request to ``serve`` in a thread."""
    return Starlette(routes=[Mount("/", app=_asgi(serve))])


def _pattern(path: str) -> str:
    return re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))


def _asgi(serve: Handler) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        call = Call(
            request.method,
            scope["path"],
            dict(request.query_params),
            dict(request.headers),
            await request.body(),
        )
        await _send(await run_in_threadpool(serve, call), send)

    return app


async def _send(answer: Answer, send: Callable[[dict[str, object]], Awaitable[None]]) -> None:
    content = answer.bytes()
    headers = {"content-length": str(len(content))} if answer.status != 204 else {}
    if content:
        headers["content-type"] = "application/json"
    headers |= {name.lower(): value for name, value in answer.headers.items()}
    start = {
        "type": "http.response.start",
        "status": answer.status,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await send(start)
    if answer.cut_after is not None:
        await send({"type": "http.response.body", "body": content[: answer.cut_after], "more_body": True})
    elif not answer.is_lost:  # else the server finds the answer unfinished and drops the connection
        await send({"type": "http.response.body", "body": content if answer.status != 204 else b""})
