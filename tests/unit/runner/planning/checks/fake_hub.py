"""The Hub as far as the library asks it, in this process: one model, and one answer to whose token it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
Handler = Callable[[httpx2.Request], httpx2.Response]


def serving(folder: Path) -> Handler:
    """Return a Hub that has the files of a folder under every name."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        path = folder / request.url.path.rpartition("/")[2]
        headers = {"X-Repo-Commit": COMMIT}
        if not path.is_file():
            return httpx2.Response(404, headers=headers | {"X-Error-Code": "EntryNotFound"}, request=request)
        content = path.read_bytes()
        headers |= {"ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        if request.method == "HEAD":
            return httpx2.Response(200, headers=headers | {"Content-Length": str(len(content))}, request=request)
        return httpx2.Response(200, headers=headers, content=content, request=request)

    return handle


def refusing(status: int, code: str | None = None, message: str | None = None) -> Handler:
    """Return a Hub that answers everything with a status and a code of its own."""
    headers = {name: text for name, text in (("X-Error-Code", code), ("X-Error-Message", message)) if text}
    return lambda request: httpx2.Response(status, headers=headers, request=request)


def breaking(error: type[httpx2.RequestError]) -> Handler:
    """Return a Hub that cannot be reached."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        raise error("no way there", request=request)

    return handle


@contextmanager
def hub_of(handler: Handler, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the library ask this Hub and keep files in a cache of its own; then everything is as it was."""
    import huggingface_hub
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_XET_CACHE", str(cache / "xet"))
    transport = httpx2.MockTransport(handler)
    huggingface_hub.set_client_factory(lambda: httpx2.Client(transport=transport, follow_redirects=True))
    try:
        yield
    finally:
        from huggingface_hub.utils._http import default_client_factory

        huggingface_hub.set_client_factory(default_client_factory)
