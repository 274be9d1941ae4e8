"""A request for S3, as WSGI has it: its body, its headers, its query, and what refuses it."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from urllib.parse import parse_qsl

from runner.emulation.service import Environ


@dataclass
class RefusalError(Exception):
    """What a store answers in place of doing it."""

    status: str
    code: str


def read_body(environ: Environ) -> bytes:
    """Return a request's body, and leave it there to be read again."""
    length = environ.get("CONTENT_LENGTH")
    body: bytes = environ["wsgi.input"].read(int(length)) if length else b""
    if environ.get("wsgi.input_terminated") and not length:
        body = environ["wsgi.input"].read()
    environ["wsgi.input"] = BytesIO(body)
    return body


def headers_of(environ: Environ) -> dict[str, str]:
    """Return a request's headers, their names in small letters."""
    headers = {name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name[:5] == "HTTP_"}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH", "CONTENT_MD5"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    return headers


def query_of(environ: Environ) -> list[tuple[str, str]]:
    """Return a request's query, in its order."""
    return parse_qsl(environ["QUERY_STRING"], keep_blank_values=True)
