"""Apps served in this process: ASGI in its event loop, WSGI in threads, each on a free port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from email.utils import formatdate

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runner.emulation.service import Wsgi

GRACEFUL_S = 1


async def listen_asgi(stack: contextlib.AsyncExitStack, app: ASGIApp, host: str) -> str:
    """Serve an app on a free port until the stack closes; return its URL."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind((host, 0))
    config = uvicorn.Config(
        dated(app),
        lifespan="off",
        log_level="critical",
        access_log=False,
        date_header=False,
        timeout_graceful_shutdown=GRACEFUL_S,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))

    async def end() -> None:
        server.should_exit = True
        await task

    stack.push_async_callback(end)
    while not server.started:
        if task.done():
            await task
            raise OSError(f"no server on {host}")
        await asyncio.sleep(0.01)
    return f"http://{host}:{listener.getsockname()[1]}"


def listen_wsgi(stack: contextlib.AsyncExitStack, app: Wsgi, host: str) -> str:
    """Serve a WSGI app in threads on a free port until the stack closes; return its URL."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler
    from werkzeug.serving import make_server

    class Quiet(MotoRequestHandler):
        """Says nothing on the terminal."""

        def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
            """Say nothing."""

    server = make_server(host, 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()

    async def end() -> None:
        await asyncio.to_thread(server.shutdown)
        thread.join()

    stack.push_async_callback(end)
    return f"http://{host}:{server.server_port}"


def dated(app: ASGIApp) -> ASGIApp:
    """Return an app whose answers all have one date: their own, else this computer's."""

    async def with_date(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start" and b"date" not in dict(message["headers"]):
                message = {**message, "headers": [*message["headers"], (b"date", formatdate(usegmt=True).encode())]}
            await send(message)

        await app(scope, receive, send_dated)

    return with_date


class _Server(uvicorn.Server):
    """A server that leaves the signals to this program."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield
